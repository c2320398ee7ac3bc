-- The pass of a run over usage (members).  They trust their caller and belong to the ledger's owner alone: see src/rating/usage_pass.c.

CREATE FUNCTION billing.pieces_gather(state internal, account_id bigint, meter_id int, from_at timestamptz, to_at timestamptz, contract_no int, segment_no int) RETURNS internal
    AS 'MODULE_PATHNAME', 'pieces_gather' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.pieces_gather(internal, bigint, int, timestamptz, timestamptz, int, int) IS 'Transition function of pack_pieces().';
CREATE FUNCTION billing.pieces_pack(state internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'pieces_pack' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.pieces_pack(internal) IS 'Final function of pack_pieces().';
CREATE AGGREGATE billing.pack_pieces(account_id bigint, meter_id int, from_at timestamptz, to_at timestamptz, contract_no int, segment_no int) (
    SFUNC = billing.pieces_gather, STYPE = internal, FINALFUNC = billing.pieces_pack, PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.pack_pieces(bigint, int, timestamptz, timestamptz, int, int) IS
'Packs the spans into which usage is to be added up for pass_usage(): those of a contract and a price segment. Internal to the billing run.';

CREATE FUNCTION billing.usage_pass_add(state internal, pieces bytea, account_id bigint, meter_id int, consumed billing.usage_interval, recorded_at timestamptz, known_at timestamptz, own_at timestamptz) RETURNS internal
    AS 'MODULE_PATHNAME', 'usage_pass_add' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_pass_add(internal, bytea, bigint, int, billing.usage_interval, timestamptz, timestamptz, timestamptz) IS 'Transition function of pass_usage().';
CREATE FUNCTION billing.usage_pass_combine(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'usage_pass_combine' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_pass_combine(internal, internal) IS 'Combine function of pass_usage().';
CREATE FUNCTION billing.usage_pass_serialize(state internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'usage_pass_serialize' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_pass_serialize(internal) IS 'Serialisation and final function of pass_usage().';
CREATE FUNCTION billing.usage_pass_deserialize(totals bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'usage_pass_deserialize' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION billing.usage_pass_deserialize(bytea, internal) IS 'Deserialisation function of pass_usage().';
CREATE AGGREGATE billing.pass_usage(pieces bytea, account_id bigint, meter_id int, consumed billing.usage_interval, recorded_at timestamptz, known_at timestamptz, own_at timestamptz) (
    SFUNC = billing.usage_pass_add, STYPE = internal, FINALFUNC = billing.usage_pass_serialize, COMBINEFUNC = billing.usage_pass_combine,
    SERIALFUNC = billing.usage_pass_serialize, DESERIALFUNC = billing.usage_pass_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE billing.pass_usage(bytea, bigint, int, billing.usage_interval, timestamptz, timestamptz, timestamptz) IS
'Adds up usage that counts at a watermark into the spans that pack_pieces() packed, clipped to each; pass_totals() unpacks the result. Internal to the billing run.';

CREATE FUNCTION billing.pass_totals(totals bytea) RETURNS TABLE (contract_no int, segment_no int, quantity numeric, events bigint)
    AS 'MODULE_PATHNAME', 'usage_pass_totals' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 100000;
COMMENT ON FUNCTION billing.pass_totals(bytea) IS 'Unpacks what pass_usage() returns: quantity and number of usage rows of each span that had any. Internal to the billing run.';

REVOKE ALL ON FUNCTION billing.pack_pieces(bigint, int, timestamptz, timestamptz, int, int) FROM PUBLIC;
REVOKE ALL ON FUNCTION billing.pass_usage(bytea, bigint, int, billing.usage_interval, timestamptz, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION billing.pass_totals(bytea) FROM PUBLIC;
