# shellcheck shell=bash
# A real Kill Bill 0.22.26 on loopback for one test run; to be sourced by bash.
#
#     . test/killbill/server.sh
#     fetch_killbill                    # both archives into $KILLBILL_CACHE, checked by sha256; fails when they cannot be had
#     start_killbill "$WORK/killbill"   # sets KILLBILL_URL, KILLBILL_PID; returns when it is healthy, fails when it does not become so
#     stop_killbill
#
# The archives come from the Maven registry through Maven; nothing of them is kept in the source tree.  The database is H2 in memory:
# everything is lost at the end.  About 0.5 GB of memory and 10 seconds to start.

KILLBILL_VERSION=0.22.26
TOMCAT_VERSION=9.0.117
KILLBILL_SUM=3a777ea29916900a62f5450f0805d33dbb8086bd33f2babad4fb7be2ef48917b
TOMCAT_SUM=f74a0b061e2b0068ec2a17a5e01c250851f6f30f362c8127209a2a6ef7952b29
KILLBILL_CACHE=${KILLBILL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/billing-killbill}
KILLBILL_PID=
KILLBILL_URL=${KILLBILL_URL:-}

# Says why the server cannot be had here, or nothing.
killbill_obstacle() {
	local tool
	for tool in java mvn unzip curl tar; do
		command -v "$tool" >/dev/null || { echo "$tool is not installed"; return; }
	done
}

killbill_archives_are_right() {
	(cd "$KILLBILL_CACHE" 2>/dev/null && printf '%s  killbill.war\n%s  tomcat.tar.gz\n' "$KILLBILL_SUM" "$TOMCAT_SUM" | sha256sum -c --status 2>/dev/null)
}

# The registry lacks the parent description of the archive, without which Maven does nothing: it gets an empty one, in a repository
# of its own so that it does not leak.
fetch_killbill() {
	killbill_archives_are_right && return
	local folder
	mkdir -p "$KILLBILL_CACHE" && folder=$(mktemp -d) || return 1
	cat >"$folder/parent.xml" <<-END
		<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
		<groupId>org.kill-bill.billing</groupId><artifactId>killbill-profiles</artifactId><version>$KILLBILL_VERSION</version><packaging>pom</packaging></project>
	END
	cat >"$folder/pom.xml" <<-END
		<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
		<groupId>org.example</groupId><artifactId>archives</artifactId><version>1</version><packaging>pom</packaging>
		<build><plugins><plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.6.1</version>
		<configuration><outputDirectory>\${project.basedir}/archives</outputDirectory><artifactItems>
		<artifactItem><groupId>org.kill-bill.billing</groupId><artifactId>killbill-profiles-killbill</artifactId><version>$KILLBILL_VERSION</version><type>war</type><destFileName>killbill.war</destFileName></artifactItem>
		<artifactItem><groupId>org.apache.tomcat</groupId><artifactId>tomcat</artifactId><version>$TOMCAT_VERSION</version><type>tar.gz</type><destFileName>tomcat.tar.gz</destFileName></artifactItem>
		</artifactItems></configuration></plugin></plugins></build></project>
	END
	(
		cd "$folder" &&
		mvn -q -B install:install-file -Dfile=parent.xml -DpomFile=parent.xml -Dpackaging=pom "-Dmaven.repo.local=$folder/repository" &&
		mvn -q -B dependency:copy "-Dmaven.repo.local=$folder/repository" &&
		cp archives/killbill.war archives/tomcat.tar.gz "$KILLBILL_CACHE/"
	) >"$KILLBILL_CACHE/fetch.log" 2>&1
	rm -rf "$folder"
	killbill_archives_are_right
}

unpack_killbill() {
	local folder=$1
	mkdir -p "$folder/tomcat" "$folder/bundles" "$folder/felix" "$folder/tmp" || return 1
	tar -xzf "$KILLBILL_CACHE/tomcat.tar.gz" -C "$folder/tomcat" --strip-components=1 || return 1
	rm -rf "$folder/tomcat/webapps"
	mkdir -p "$folder/tomcat/webapps/ROOT"
	unzip -q "$KILLBILL_CACHE/killbill.war" -d "$folder/tomcat/webapps/ROOT" || return 1
	sed -i 's/^\(tomcat.util.scan.StandardJarScanFilter.jarsToSkip=\)/\1*.jar,/' "$folder/tomcat/conf/catalina.properties"
}

configure_killbill() {
	local folder=$1 port=$2 database='jdbc:h2:mem:killbill;MODE=MYSQL;DB_CLOSE_DELAY=-1;DB_CLOSE_ON_EXIT=FALSE'
	cat >"$folder/tomcat/conf/server.xml" <<-END
		<Server port="-1"><Service name="Catalina">
		<Connector address="127.0.0.1" port="$port" protocol="HTTP/1.1" maxThreads="100" maxKeepAliveRequests="-1"/>
		<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps" unpackWARs="false" autoDeploy="false"/></Engine>
		</Service></Server>
	END
	cat >"$folder/logback.xml" <<-END
		<configuration><appender name="file" class="ch.qos.logback.core.FileAppender"><file>$folder/killbill.log</file>
		<encoder><pattern>%d %-5level %logger{20} %msg%n</pattern></encoder></appender>
		<logger name="jdbc" level="OFF"/><root level="WARN"><appender-ref ref="file"/></root></configuration>
	END
	cat >"$folder/killbill.properties" <<-END
		org.killbill.dao.url=$database
		org.killbill.dao.user=killbill
		org.killbill.dao.password=killbill
		org.killbill.dao.maxActive=20
		org.killbill.billing.osgi.dao.url=$database
		org.killbill.billing.osgi.dao.user=killbill
		org.killbill.billing.osgi.dao.password=killbill
		org.killbill.billing.osgi.dao.maxActive=5
		org.killbill.server.multitenant=true
		org.killbill.server.test.mode=true
		org.killbill.server.updateCheck.skip=true
		org.killbill.osgi.bundle.install.dir=$folder/bundles
		org.killbill.osgi.root.dir=$folder/felix
		org.killbill.tenant.broadcast.rate=1s
		org.killbill.invoice.sanitySafetyBoundEnabled=false
		org.killbill.invoice.maxDailyNumberOfItemsSafetyBound=-1
		org.killbill.security.shiroNbHashIterations=10
		org.killbill.notificationq.main.queue.mode=STICKY_POLLING
		org.killbill.notificationq.main.sleep=50
		org.killbill.notificationq.main.claimed=50
		org.killbill.notificationq.main.notification.nbThreads=4
		org.killbill.persistent.bus.main.queue.mode=STICKY_EVENTS
		org.killbill.persistent.bus.main.claimed=50
		org.killbill.persistent.bus.main.nbThreads=4
		org.killbill.persistent.bus.main.sleep=0
		org.killbill.persistent.bus.main.queue.capacity=1000
		org.killbill.persistent.bus.external.queue.mode=STICKY_EVENTS
		org.killbill.persistent.bus.external.inMemory=true
	END
}

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_killbill() {
	local folder=$1 port waited=0
	port=${2:-$(free_port)}
	unpack_killbill "$folder" && configure_killbill "$folder" "$port" || return 1
	KILLBILL_URL=http://127.0.0.1:$port
	env CATALINA_BASE="$folder/tomcat" CATALINA_HOME="$folder/tomcat" CATALINA_TMPDIR="$folder/tmp" CATALINA_PID="$folder/pid" \
		CATALINA_OPTS="-Xms128m -Xmx700m -XX:+UseSerialGC -Djava.security.egd=file:/dev/./urandom \
			--add-opens java.base/java.net=ALL-UNNAMED --add-opens java.base/sun.net.www.protocol.file=ALL-UNNAMED \
			--add-opens java.base/sun.net.www.protocol.jar=ALL-UNNAMED \
			-Dorg.killbill.server.properties=file://$folder/killbill.properties -Dlogback.configurationFile=$folder/logback.xml" \
		nice bash "$folder/tomcat/bin/catalina.sh" start >"$folder/start.log" 2>&1 </dev/null || return 1
	KILLBILL_PID=$(cat "$folder/pid")
	until curl -fsS -o /dev/null --max-time 5 "$KILLBILL_URL/1.0/healthcheck" 2>/dev/null; do
		sleep 0.5
		waited=$((waited + 1))
		if [ "$waited" -ge 240 ] || ! kill -0 "$KILLBILL_PID" 2>/dev/null; then
			tail -n 20 "$folder/killbill.log" "$folder/tomcat/logs/catalina.out" 2>/dev/null
			stop_killbill
			return 1
		fi
	done
}

stop_killbill() {
	local waited=0
	[ -n "$KILLBILL_PID" ] || return 0
	kill "$KILLBILL_PID" 2>/dev/null
	while kill -0 "$KILLBILL_PID" 2>/dev/null && [ "$waited" -lt 60 ]; do
		sleep 0.5
		waited=$((waited + 1))
	done
	kill -KILL "$KILLBILL_PID" 2>/dev/null
	KILLBILL_PID=
}
