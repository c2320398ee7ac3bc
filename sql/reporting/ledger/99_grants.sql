-- Who may do what: the last file of the ledger.
--
-- billing_reader    reads views and calls the functions that only read
-- billing_operator  records usage and runs the billing, and what a reader may
-- billing_admin     sets the catalog, decides, finalises and seals, and what an operator may
-- billing_worker    delivers messages as the background worker, and what a reader may; functions worker_… and …_connector are its own
-- the owner         owns everything and yet cannot change what is final: the rights on insert-only tables are taken from it too.
--                   (It could give them back to itself; that is a deliberate act and leaves a trace in the catalog.)
--
-- Functions that record run with the owner's rights.  A function that is in no list below is for the ledger's own use.

CREATE PROCEDURE billing.protect_final_tables()
    LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    owner text := (SELECT c.relowner::regrole::text FROM pg_class AS c WHERE c.oid = 'billing.ledger_state'::regclass);
    final text;
BEGIN
    -- Rows are written once.
    FOREACH final IN ARRAY '{seller_setting,account_setting,pin_advance,decision,sealed_owed,run_error,usage_load,usage,usage_change,invoice,invoice_number,invoice_tax,invoice_event,line}'::text[] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
    END LOOP;
    -- Checking a foreign key locks the row that is referred to, which takes the right to update some column of it: one that is
    -- generated can be set to nothing.
    EXECUTE format('GRANT UPDATE (prev_no) ON billing.line TO %s', owner);
    EXECUTE format('GRANT UPDATE (is_credit_note) ON billing.invoice TO %s', owner);
    -- A fact stops being believed when another one supersedes it; nothing else about it changes.
    FOREACH final IN ARRAY '{price,agreement_term,subscription_term,tax_rate,meter_definition,fee_definition,bill_to,resource_tag,custom_field,correction_policy,rating_module}'::text[] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
        EXECUTE format('GRANT UPDATE (known) ON billing.%I TO %s', final, owner);
    END LOOP;
    -- What facts and lines refer to stays; input that was refused stays as it came.
    FOREACH final IN ARRAY '{seller,account,item,price_list,agreement,subscription,resource,invoice_group,cost_center,run}'::text[] LOOP
        EXECUTE format('REVOKE DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
    END LOOP;
    FOREACH final IN ARRAY '{usage_rejected,usage_conflict}'::text[] LOOP
        EXECUTE format('REVOKE UPDATE ON billing.%I FROM PUBLIC, %s', final, owner);
    END LOOP;
    -- Cost, allocation and budgets, by the same three rules.
    FOREACH final IN ARRAY '{cost_window_load,cost_finding,confirmed_cost,confirmed_month,report,tag_set_former,allocation_share,allocation_share_closed,allocation_fraction,allocation_fraction_closed}'::text[] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
    END LOOP;
    FOREACH final IN ARRAY '{cost,billing_account_center,auto_tag_rule,exchange_rate,allocation_rule,budget_limit}'::text[] LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
        EXECUTE format('GRANT UPDATE (known) ON billing.%I TO %s', final, owner);
    END LOOP;
    EXECUTE format('GRANT UPDATE (stays) ON billing.allocation_share_closed TO %s', owner);
    EXECUTE format('REVOKE UPDATE, TRUNCATE ON billing.allocation FROM PUBLIC, %s', owner);
    EXECUTE format('GRANT UPDATE (state, reason, recorded_at, recorded_by) ON billing.allocation TO %s', owner);
    FOREACH final IN ARRAY '{cost_source,billing_account,cost_window,cost_load,allocation_scheme,budget,alert}'::text[] LOOP
        EXECUTE format('REVOKE DELETE, TRUNCATE ON billing.%I FROM PUBLIC, %s', final, owner);
    END LOOP;
END $$;
COMMENT ON PROCEDURE billing.protect_final_tables() IS
'Takes UPDATE, DELETE and TRUNCATE on final tables from everybody, the owner included; of superseded facts only the column known can change. Used by create_ledger(); can be called again.';

CREATE PROCEDURE billing.grant_ledger()
    LANGUAGE plpgsql SET search_path = pg_catalog, billing, pg_temp
AS $$
DECLARE
    operating CONSTANT text[] := '{record_usage,report_usage,copy_recurring_usage,open_usage_batch,load_usage_batch,load_usage_inbox,correct_usage,void_usage,move_usage,validate_usage,maintain_partitions,
                                   run_invoicing,bill_account,mark_delivered,enqueue_message,test_connection,begin_connection_test,connection_test_state,
                                   killbill_push_usage,killbill_push_invoices,killbill_pull_invoices,killbill_pull_catalog,killbill_dry_run,killbill_notification,
                                   acquire_run_lock,release_run_lock,start_run,watermark,set_watermark,run_store_periods,run_rate,run_apply,run_finish,run_steps,stop_run,fail_run}';
    deciding  CONSTANT text[] := '{killbill_import_catalog,killbill_set_plan,killbill_push_catalog,killbill_mirror_account,killbill_subscribe,killbill_cancel,killbill_close_account,
                                   killbill_set_unit,killbill_set_threshold,killbill_credit,killbill_set_clock,
                                   finalize_invoices,void_invoice,cancel_invoice,retry_message,discard_message,decide,freeze_charge,unfreeze_charge,approve_corrections,
                                   seal_period,seal_periods_of_run,recorded_before,drop_sealed_usage,remove_price,end_agreement,end_subscription,end_rating_rule,delete_rating_rule,apply_rating_rules}';
    costing   CONSTANT text[] := '{import_focus,open_cost_part,take_staged_cost,withdraw_cost,discard_staged_cost,allocate,what_if,validate_allocation,check_budgets,charge_back,take_back_charges,generate_report,run_reports}';
    closing   CONSTANT text[] := '{close_allocation,approve_allocation,remove_allocation_rule,reset_alert,confirm_month}';
    routine record;
    view    regclass;
BEGIN
    FOR routine IN
        SELECT p.oid::regprocedure AS name,
               CASE WHEN p.proname LIKE 'worker\_%' OR p.proname LIKE '%\_connector' THEN 'billing_worker'
                    WHEN p.provolatile <> 'v' THEN CASE WHEN has_function_privilege('billing_reader', p.oid, 'EXECUTE') THEN 'billing_reader' END   -- not what was taken from PUBLIC where it was made
                    WHEN p.proname = ANY (operating || costing) THEN 'billing_operator'
                    WHEN p.proname = ANY (deciding || closing) OR p.proname LIKE 'set\_%' AND p.prosecdef THEN 'billing_admin' END AS grantee
          FROM pg_proc AS p
         WHERE p.pronamespace = 'billing'::regnamespace
           AND p.proowner = (SELECT c.relowner FROM pg_class AS c WHERE c.oid = 'billing.ledger_state'::regclass)
           AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', routine.name);
        IF routine.grantee IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', routine.name, routine.grantee);
        END IF;
    END LOOP;
    FOR view IN
        SELECT c.oid FROM pg_class AS c
         WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind = 'v'
           AND c.relowner = (SELECT o.relowner FROM pg_class AS o WHERE o.oid = 'billing.ledger_state'::regclass)
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO billing_reader', view);
    END LOOP;
    GRANT INSERT ON billing.usage_inbox, billing.cost_staged TO billing_operator;
    GRANT EXECUTE ON FUNCTION billing.enqueue_message(text, text, jsonb, text, text, int, timestamptz, int) TO billing_worker;
END $$;
COMMENT ON PROCEDURE billing.grant_ledger() IS
'Takes EXECUTE on the ledger''s functions from PUBLIC and gives each to the role that needs it: billing_reader, billing_operator, billing_admin or billing_worker; views to billing_reader. Used by create_ledger(); can be called again.';

CALL billing.protect_final_tables();
CALL billing.grant_ledger();

-- Facts without a primary key are found by their whole row where a publication replicates changes of all tables.
DO $$
DECLARE
    facts regclass;
BEGIN
    FOR facts IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
         WHERE c.relnamespace = 'billing'::regnamespace AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident = 'd'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL', facts);
    END LOOP;
END $$;
