-- Type monetary in binary: the exact bytes, a round trip through COPY, and input that no honest client sends.

-- Three letters, then the amount in 10^-15 as a big-endian 104-bit two's complement number.
SELECT value, monetary_send(value)
FROM (VALUES ('0 EUR'::monetary), ('1 EUR'), ('-1 EUR'), ('0.000000000000001 EUR'), ('-0.000000000000001 EUR'), ('10000000000000000 ZWL'), ('-10000000000000000 AED')) AS v(value);

-- A round trip.
CREATE TABLE monetary_sent (id integer, value monetary, eur monetary('EUR'), total monetary_sum);
INSERT INTO monetary_sent VALUES
    (1, '12.34 EUR', '-1 EUR', '(3,170141183460469231731687.303715884105727,EUR)'),
    (2, '-0.000000000000001 JPY', '10000000000000000 EUR', '(0,0,)'),
    (3, NULL, NULL, NULL),
    (4, '-10000000000000000 XAU', '0 EUR', '(9223372036854775807,-170141183460469231731687.303715884105727,XXX)');
CREATE TABLE monetary_received (LIKE monetary_sent);
COPY monetary_sent TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_received FROM 'results/monetary_binary.data' (FORMAT binary)
SELECT * FROM monetary_received ORDER BY id;
SELECT count(*) FROM (SELECT id, value, eur, total::text FROM monetary_sent EXCEPT SELECT id, value, eur, total::text FROM monetary_received) AS difference;

-- A field of type bytea has the same frame, so any bytes can be offered as a value.
CREATE TABLE monetary_bytes (bytes bytea);
CREATE TABLE monetary_offered (value monetary);
CREATE TABLE monetary_offered_eur (value monetary('EUR'));
CREATE TABLE monetary_offered_sum (value monetary_sum);

-- canonical bytes pass
INSERT INTO monetary_bytes VALUES ('\x455552ffffffffffffffffffffffffff');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
SELECT * FROM monetary_offered;

-- unknown currency
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x51515100000000000000000000000000');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY sqlstate
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY default
-- lower case is not canonical
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x65757200000000000000000000000000');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
-- all zero
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x00000000000000000000000000000000');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
-- one step beyond the range, and the least number of 104 bits
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x4555527e37be2022c0914b2680000001');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x45555280000000000000000000000000');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY sqlstate
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY default
-- too short, too long
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x455552');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES ('\x455552000000000000000000000000000000');
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered FROM 'results/monetary_binary.data' (FORMAT binary)
-- another currency than the column's
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (monetary_send('1 USD'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_eur FROM 'results/monetary_binary.data' (FORMAT binary)

\set VERBOSITY sqlstate
\copy monetary_offered_eur FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY default

-- Partial sums: negative count, no values but an amount, values without a currency, and the one 128-bit number that is left out.
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (decode('00455552 ffffffffffffffff 00000000000000000000000000000001', 'hex'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (decode('00000000 0000000000000000 00000000000000000000000000000001', 'hex'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (decode('00000000 0000000000000001 00000000000000000000000000000001', 'hex'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (decode('00455552 0000000000000001 80000000000000000000000000000000', 'hex'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
TRUNCATE monetary_bytes;
INSERT INTO monetary_bytes VALUES (decode('01455552 0000000000000001 00000000000000000000000000000001', 'hex'));
COPY monetary_bytes TO STDOUT (FORMAT binary) \g results/monetary_binary.data
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY sqlstate
\copy monetary_offered_sum FROM 'results/monetary_binary.data' (FORMAT binary)
\set VERBOSITY default

-- Nothing of all that came in.
SELECT (SELECT count(*) FROM monetary_offered) AS offered, (SELECT count(*) FROM monetary_offered_eur) AS offered_eur, (SELECT count(*) FROM monetary_offered_sum) AS offered_sum;
DROP TABLE monetary_sent, monetary_received, monetary_bytes, monetary_offered, monetary_offered_eur, monetary_offered_sum;
