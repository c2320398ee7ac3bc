-- Usage in the forms of other systems: Ceilometer's samples, CloudKitty's data frames, states, and reports for a month.
\set ECHO none
\set test_database billing_metering_sources
\getenv source PG_ABS_SRCDIR
\set include :source /lib/rating.psql
\i :include
SELECT set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR') \gset
SELECT set_account('fe9c35372db6420089883805b37a34af', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('acme', time_zone => 'UTC', starts_on => '2025-01-01') \gset
CREATE FUNCTION price_of_one(meters text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(set_price(meter, '{"model":"per_unit","currency":"EUR","unit_price":"1"}', valid_from => '2025-01-01')) FROM unnest(meters) AS meter $$;
CREATE VIEW recorded AS
    SELECT i.key AS meter, starts_at(u.consumed), u.ends_at, quantity(u.consumed), u.revision, r.key AS resource, u.dimensions
      FROM billing.usage AS u JOIN billing.item AS i ON i.item_id = u.meter_id LEFT JOIN billing.resource AS r USING (account_id, resource_id)
     WHERE NOT EXISTS (SELECT FROM billing.usage_change AS c WHERE c.account_id = u.account_id AND c.key = u.key AND c.revision = u.revision) ORDER BY 1, 3, 4, 6;
CREATE VIEW months AS SELECT c.period_from AS period, c.item, trim_scale(round(c.quantity, 20)) AS quantity, c.owed FROM charges('fe9c35372db6420089883805b37a34af', '[2025-01-01,2025-04-01)') AS c ORDER BY c.item, c.period_from;
CREATE VIEW reported AS SELECT c.period_from AS period, c.item, trim_scale(c.quantity) AS quantity, c.owed, c.booked FROM charges('acme', '[2025-01-01,2025-05-01)') AS c ORDER BY c.item, c.period_from;
\set ECHO all
\pset format unaligned
-- Ceilometer: a gauge, a delta, a counter that is set back; the array that its http publisher posts.  Times without an offset are UTC.
SELECT set_meter('vcpus', unit => 'vCPU-hour', aggregation => 'time_weighted', level_holds => '10 minutes'), set_meter('bandwidth', unit => 'B'), set_meter('network.incoming.bytes', unit => 'MiB', aggregation => 'increase', factor => '1/1048576') \gset
SELECT price_of_one('{vcpus,bandwidth,network.incoming.bytes}') \gset
CREATE TABLE sample AS SELECT '[
 {"name": "vcpus", "type": "gauge", "unit": "vcpu", "volume": 4, "user_id": "u1", "user_name": "ann", "project_id": "fe9c35372db6420089883805b37a34af", "project_name": "web", "resource_id": "vm-1", "timestamp": "2025-01-10T10:00:00.250000",
  "resource_metadata": {"display_name": "web-1", "flavor": {"name": "m1.large", "vcpus": 4, "extra_specs": {}}, "image": null, "volumes": ["a"], "enabled": true}, "source": "openstack", "id": "11111111-0000-0000-0000-000000000001", "monotonic_time": null},
 {"name": "vcpus", "type": "gauge", "unit": "vcpu", "volume": 2, "project_id": "fe9c35372db6420089883805b37a34af", "resource_id": "vm-1", "timestamp": "2025-01-10 10:05:00.250000", "source": "openstack", "id": "11111111-0000-0000-0000-000000000002"},
 {"name": "bandwidth", "type": "delta", "unit": "B", "volume": 1.5e3, "project_id": "fe9c35372db6420089883805b37a34af", "resource_id": "router", "timestamp": "2025-01-10T11:00:00+01:00", "source": "openstack", "id": "11111111-0000-0000-0000-000000000003"},
 {"counter_name": "network.incoming.bytes", "counter_type": "cumulative", "counter_unit": "B", "counter_volume": 1048576, "project_id": "fe9c35372db6420089883805b37a34af", "resource_id": "tap0", "timestamp": "2025-01-10T10:00:00", "source": "openstack",
  "message_id": "11111111-0000-0000-0000-000000000004", "message_signature": "aa", "resource_metadata": {}},
 {"name": "network.incoming.bytes", "type": "cumulative", "volume": 5242880, "project_id": "fe9c35372db6420089883805b37a34af", "resource_id": "tap0", "timestamp": "2025-01-10T11:00:00", "source": "openstack", "id": "11111111-0000-0000-0000-000000000005"},
 {"name": "network.incoming.bytes", "type": "cumulative", "volume": 524288, "project_id": "fe9c35372db6420089883805b37a34af", "resource_id": "tap0", "timestamp": "2025-01-10T12:00:00", "source": "openstack", "id": "11111111-0000-0000-0000-000000000006"}]'::jsonb AS samples;
SELECT r.* FROM sample, record_usage(samples) AS r;
TABLE recorded;
-- 4 for 5 minutes and 2 for 10; 1500 bytes; 4 MiB and, after the counter was set back, half a MiB
TABLE months;
-- the publisher tries again: nothing counts twice; a single sample as well
SELECT r.* FROM sample, record_usage(samples) AS r;
SELECT r.* FROM sample, record_usage(samples -> 0) AS r;
-- A sample for a meter that would misread it is refused: a counter that is added up would bill everything since its first day each time.
SELECT set_meter('disk.usage', unit => 'B') \gset
SELECT r.outcome, r.detail FROM unnest('{cumulative,gauge,delta,rate}'::text[]) WITH ORDINALITY AS t(type, no), record_usage(jsonb_build_object('name', 'disk.usage', 'type', type, 'volume', 1, 'project_id', 'fe9c35372db6420089883805b37a34af',
    'resource_id', 'vm-1', 'timestamp', '2025-01-10T10:00:00', 'id', no::text)) AS r;
SELECT r.outcome, r.detail FROM record_usage('{"id": "own", "account": "acme", "meter": "vcpus", "at": "2025-01-10T10:00:00Z", "quantity": 1, "resource": "x", "sample_type": "delta"}') AS r;
SELECT r.outcome, r.detail FROM record_usage('{"name": "vcpus", "type": "gauge", "volume": 4, "resource_id": "vm-1", "timestamp": "2025-01-10T10:00:00.25", "id": "1"}') AS r;

-- CloudKitty v2: each point of a frame is a fact; groupby goes before metadata.
SELECT set_meter('volume.size', unit => 'GiB-hour'), set_meter('instance', unit => 'instance-hour', mutate => 'NUMBOOL'), set_meter('compute', unit => 'instance-hour') \gset
SELECT price_of_one('{volume.size,instance,compute}') \gset
CREATE TABLE frame AS SELECT '{"period": {"begin": "2025-01-01T10:00:00+00:00", "end": "2025-01-01T11:00:00+00:00"},
  "usage": {"volume.size": [{"vol": {"unit": "GiB", "qty": 1.9}, "rating": {"price": 3.8}, "groupby": {"project_id": "fe9c35372db6420089883805b37a34af", "user_id": "u1", "id": "vol-1", "month": "01"}, "metadata": {"volume_type": "", "month": "13"}},
                            {"vol": {"unit": "GiB", "qty": "20"}, "groupby": {"project_id": "fe9c35372db6420089883805b37a34af", "user_id": "u1", "id": "vol-2"}, "metadata": {"volume_type": "ssd"}}],
            "instance": [{"vol": {"unit": "instance", "qty": 4}, "groupby": {"project_id": "fe9c35372db6420089883805b37a34af", "id": "vm-1"}, "metadata": {"flavor_name": "m1.nano", "vcpus": 1}}]}}'::jsonb AS frame;
SELECT left(r.id, 60) AS id, r.outcome, r.detail FROM frame, record_usage(frame) AS r;
SELECT meter, starts_at, ends_at, quantity, resource, dimensions FROM recorded WHERE meter IN ('volume.size', 'instance') ORDER BY meter, quantity;
-- sent again, alone or in a list with others, also from the old storage and as desc; a changed point is a conflict
SELECT r.outcome FROM frame, record_usage(jsonb_build_object('dataframes', jsonb_build_array(frame, jsonb_set(frame, '{period}', '{"begin": "2025-01-01T11:00:00", "end": "2025-01-01T12:00:00"}')))) AS r;
SELECT r.outcome FROM frame, record_usage(jsonb_set(frame, '{period}', '{"begin": "2025-01-01T10:00:00", "end": "2025-01-01T12:00:00+01:00"}')) AS r;
SELECT r.outcome FROM frame, record_usage(jsonb_set(frame, '{usage,volume.size,0,vol,qty}', '2')) AS r;
SELECT r.outcome, r.detail FROM record_usage('[{"period": {"begin": 1735729200, "end": 1735732800}, "usage": {"compute": [{"desc": {"flavor": "m1.nano", "memory": "64", "vcpus": 1, "project_id": "fe9c35372db6420089883805b37a34af"}, "vol": {"qty": 1, "unit": "instance"}, "rating": {"price": 2.487}}]}},
  {"begin": "2025-01-01T12:00:00", "end": "2025-01-01T13:00:00", "tenant_id": "fe9c35372db6420089883805b37a34af", "resources": [{"service": "compute", "desc": {"flavor": "m1.nano"}, "volume": "2", "rating": "0.5"}, {"service": "compute", "desc": {"flavor": "m1.nano"}, "volume": "3", "rating": "0.5"}]},
  {"id": "mine", "account": "fe9c35372db6420089883805b37a34af", "meter": "compute", "at": "2025-01-01T12:00:00Z", "quantity": 10}]') AS r;
SELECT meter, starts_at, ends_at, quantity, resource, dimensions FROM recorded WHERE meter = 'compute' ORDER BY quantity;
SELECT * FROM months WHERE item IN ('volume.size', 'instance', 'compute');
-- true is written as CloudKitty's rules compare it
SELECT p.metric, p.described FROM frame_points('{"usage": {"compute": [{"vol": {"qty": 1}, "groupby": {"ha": true, "id": "vm-1"}, "metadata": {"ha": "no", "flavor": {"gpu": false}, "vcpus": 2}}]}}') AS p;
-- what is in no known form is refused, point by point, and kept; an empty frame has no points
SELECT r.* FROM record_usage('[{"period": {"begin": "yesterday", "end": "2025-01-01T11:00:00Z"}, "usage": {"compute": [{"vol": {"qty": 1}, "groupby": {"project_id": "nobody"}}, {"groupby": {"project_id": "acme"}}]}},
  {"period": {}, "usage": []}, {"dataframes": "none"}, {"volume": 1}, "text"]') AS r(id, outcome, detail);
SELECT * FROM record_usage('{"period": {"begin": "2025-01-01T10:00:00", "end": "2025-01-01T11:00:00"}, "usage": {}}');
SELECT * FROM record_usage('{"dataframes": []}');
SELECT expand_usage('[{"id": "1", "account": "acme", "quantity": 1}, {"specversion": "1.0"}, 7, null]');

-- States: minutes and hours that something was on.
SELECT set_meter('vm-minutes', unit => 'MIN', aggregation => 'time_weighted', factor => '60', rounding => 'up', decimals => 0), set_meter('vm-hours', unit => 'HUR', aggregation => 'time_weighted') \gset
SELECT price_of_one('{vm-minutes,vm-hours}') \gset
SELECT r.outcome, count(*) FROM unnest('{vm-minutes,vm-hours}'::text[]) AS meter, (VALUES ('10:00:00', '"on"'), ('10:30:20', '"off"'), ('11:00:00', 'true'), ('11:00:00.5', 'false')) AS s(at, state),
    record_usage(jsonb_build_object('id', meter || at, 'account', 'acme', 'meter', meter, 'at', '2025-01-05T' || at || 'Z', 'state', state::jsonb, 'resource', 'vm-1')) AS r GROUP BY 1;
SELECT * FROM reported;
SELECT * FROM record_usage('{"id": "s", "account": "acme", "meter": "vm-hours", "at": "2025-01-05T10:00:00Z", "state": "paused", "resource": "vm-1"}');
-- A monthly price by the hour: 720 a month of 720 hours is 1 an hour and 1/60 a minute.
SELECT set_meter('rent', unit => 'month', aggregation => 'time_weighted', hours_in_month => '720') \gset
SELECT set_price('rent', '{"model":"per_unit","currency":"EUR","unit_price":"720"}', valid_from => '2025-01-01') \gset
SELECT count(*) FROM (VALUES ('10:00:00', 'on'), ('11:01:00', 'off')) AS s(at, state), record_usage(jsonb_build_object('id', 'rent' || at, 'account', 'acme', 'meter', 'rent', 'at', '2025-01-05T' || at || 'Z', 'state', state)) \gset
SELECT period, quantity, owed FROM reported WHERE item = 'rent';

-- Reports for a month: set, add, keep the greatest; what was billed is billed by its difference; recurring reports are copied.
SELECT set_meter('storage', unit => 'GB'), set_meter('licences', unit => 'licence') \gset
SELECT price_of_one('{storage,licences}') \gset
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 100.5, day => '2025-01-10', resource => 'r1') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 80, day => '2025-01-20', resource => 'r1') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 5, 'add', day => '2025-01-31', resource => 'r1') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 70, 'maximum', day => '2025-01-31', resource => 'r1') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 90, 'maximum', day => '2025-01-31', resource => 'r1') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 1, 'add', day => '2025-01-31', resource => 'r2') AS r;
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 1, 'add', day => '2025-02-01', resource => 'r1') AS r;
SELECT ends_at, quantity, revision, resource FROM recorded WHERE meter = 'storage';
SELECT r.counted, r.outcome FROM report_usage('acme', 'licences', 3, day => '2025-01-15', recurring => true, dimensions => '{"edition": "pro"}') AS r;
SELECT copy_recurring_usage('2025-03-02'), copy_recurring_usage('2025-03-31');
SELECT r.counted, r.outcome FROM report_usage('acme', 'licences', 4, day => '2025-03-10', dimensions => '{"edition": "pro"}') AS r;
SELECT copy_recurring_usage('2025-04-01');
SELECT ends_at, quantity, revision, dimensions FROM recorded WHERE meter = 'licences';
-- it ends: the month of the last report is not copied any more
SELECT r.counted, r.outcome FROM report_usage('acme', 'licences', 4, day => '2025-04-10', recurring => false, dimensions => '{"edition": "pro"}') AS r;
SELECT copy_recurring_usage('2025-12-31');
CALL run_invoicing('2025-03-01', NULL);
SELECT count(*) FROM finalize_invoices('2025-03-01') \gset
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 95, day => '2025-01-10', resource => 'r1') AS r;
-- a report that was voided is made anew
SELECT r.id AS report FROM report_usage('acme', 'storage', 1, day => '2025-02-01', resource => 'r1') AS r \gset
SELECT void_usage('acme', :'report', 'report') \gset
SELECT r.counted, r.outcome FROM report_usage('acme', 'storage', 7, 'add', day => '2025-02-01', resource => 'r1') AS r;
CALL run_invoicing('2025-03-01', NULL);
SELECT l.period_from, l.item, l.kind, l.amount FROM draft_lines AS l WHERE l.account = 'acme' ORDER BY 1, 2;
SELECT fails($$ SELECT report_usage('acme', 'storage', 1, 'replace') $$);
SELECT fails($$ SELECT report_usage('acme', 'storage', NULL) $$);
SELECT fails($$ SELECT report_usage('nobody', 'storage', 1) $$);
SELECT fails($$ SELECT report_usage('acme', 'nothing', 1) $$);
SELECT fails($$ SELECT report_usage('acme', 'storage', 1e30) $$);
-- Copies stop at no account: nothing is reported for one that is closed; and a day without end is refused.
SELECT set_account('leaves', time_zone => 'UTC', starts_on => '2025-01-01'), set_account('stays', time_zone => 'UTC', starts_on => '2025-01-01') \gset
SELECT count(*) FROM unnest('{leaves,stays}'::text[]) AS a, report_usage(a, 'storage', 3, day => '2025-02-01', recurring => true);
SELECT set_account('leaves', status => 'closed', from_date => '2025-03-20') \gset
SELECT copy_recurring_usage('2025-05-10') > 0 AS copied;
SELECT a.key, count(*), max(u.ends_at) FROM billing.usage AS u JOIN billing.account AS a USING (account_id) WHERE a.key IN ('leaves', 'stays') GROUP BY a.key ORDER BY a.key;
SELECT fails($$ SELECT copy_recurring_usage('infinity') $$);
SELECT fails($$ SELECT copy_recurring_usage('9000-01-01') $$);
TABLE wrong;
