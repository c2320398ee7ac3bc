-- The last of the members.

CALL billing.fix_session_settings();
