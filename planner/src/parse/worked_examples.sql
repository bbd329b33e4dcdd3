-- The worked examples of the SQL surface, one per capability. The tests parse them.
-- secrets; sources (both directions); test before and after
CREATE SECRET IF NOT EXISTS shop_pw FROM ENV 'SHOP_PW';            -- or: \getenv pw SHOP_PW  then  CREATE SECRET shop_pw AS :'pw';
CREATE SOURCE shop TYPE mysql WITH (host='10.0.0.5', port='3306', user='repl', password=SECRET shop_pw, server_id='5401-5408', tls='verify_full');
CREATE SOURCE crm  TYPE postgres WITH (host='crm', database='crm', user='tg', password=SECRET crm_pw, publication='tg_pub', slot_prefix='tg_');
CREATE SOURCE bus  TYPE kafka WITH (brokers=('k1:9092','k2:9092'), sasl_password=SECRET k_pw, "kafka.fetch.max.bytes"='8388608');
CREATE SOURCE lake TYPE iceberg WITH (catalog='rest', uri='http://cat:8181', warehouse='s3://wh', s3_secret_key=SECRET s3_sk, usage='destination');
VALIDATE SOURCE shop FOR READ, CAPTURE;                             -- check | status | message | hint | elapsed_ms
VALIDATE SOURCE TYPE postgres WITH (host='crm', user='tg', password=SECRET crm_pw, database='crm') FOR WRITE TIMEOUT '5s';
ALTER SECRET shop_pw AS 'rotated';                                  -- running jobs reconnect; nothing else changes
-- schemaless sources get columns once; preview and discovery
CREATE SOURCE TABLE bus.topics.clicks (uid bigint, url text, at timestamptz, part int METADATA 'partition') FORMAT json WITH (on_bad_record='dead_letter');
SELECT id, status FROM shop.shop_1.orders WHERE status = 'new' LIMIT 10;    SHOW TABLES FROM SOURCE shop SCHEMA shop_1 LIKE 'ord%';
-- recycle bin
DROP SOURCE crm CASCADE;   SHOW RECYCLE BIN;   UNDROP SOURCE crm CASCADE;   UNDROP JOB ID 412 RENAME TO orders_old;   PURGE RECYCLE BIN OLDER THAN '7 days';
-- sink tables: explicit / auto / custom DDL; key, constants, multi-level + fixed partitions, properties
CREATE SINK TABLE lake.ods.orders (id bigint NOT NULL, amount numeric(18,2), created_at timestamptz, PRIMARY KEY (id))
  ADD COLUMNS (tenant text = 'cn', load_day date = run_date())
  PARTITION BY (DAY(created_at) AS dt FORMAT 'yyyyMMdd', HOUR(created_at) AS hh, BUCKET(16, id))
  PROPERTIES ("write.format.default" = 'parquet', "write.target-file-size-bytes" = '134217728');
CREATE SINK TABLE lake.ods.users LIKE shop.shop_1.users EXCLUDE (password) PARTITION BY (region, src = 'shop');
CREATE SINK TABLE crm.public.big USING DDL $$CREATE TABLE public.big (id bigint primary key, v text) WITH (fillfactor=70)$$;
-- one table, projection/filter/functions/constants; full then real time
CREATE SYNC JOB orders_rt INTO lake.ods.orders MODE FULL THEN REALTIME WRITE UPSERT KEY (id) ON DELETE SOFT (is_deleted)
  WITH (checkpoint_interval='60s', restart_strategy='exponential', restart_max_delay='5min')
  AS SELECT id, amount, upper(region) AS region, 'cn' AS tenant, created_at, tg_commit_time() AS op_at FROM shop.shop_1.orders WHERE amount > 0;
-- full once; full on cron; incremental batch; real time only from a position; base+log merge
CREATE SYNC JOB dim_once  INTO lake.dim.city MODE FULL WRITE OVERWRITE AS SELECT * FROM crm.public.city;
CREATE SYNC JOB dim_daily INTO lake.dim.city MODE FULL WRITE OVERWRITE PARTITIONS SCHEDULE CRON '0 2 * * *' TIME ZONE 'Asia/Shanghai' ON OVERLAP SKIP
  AS SELECT *, run_date() AS dt FROM crm.public.city;
CREATE SYNC JOB pay_inc   INTO lake.ods.pay (id, amt, ts) MODE INCREMENTAL BY (updated_at) FROM '2026-01-01' SCHEDULE EVERY '15 min' WRITE UPSERT KEY (id)
  WITH (watermark_lag='2min', split_column='id', read_parallelism='8', fetch_size='5000') AS SELECT id, amount, updated_at FROM crm.public.pay;
CREATE SYNC JOB cdc_bus   FROM SOURCE crm FOR TABLES (public.a, public.b) INTO bus MODE REALTIME START AT LSN '0/16B3748';
CREATE SYNC JOB t1_merge  INTO lake.dwd.orders MODE MERGE (BASE lake.dwd.orders, LOG lake.ods.orders_log) SCHEDULE CRON '30 0 * * *' TIME ZONE 'UTC'
  WRITE OVERWRITE PARTITIONS KEY (id);
-- whole database: list, exclude, regex, sharded merge, name rules, DDL policy, per-table override, constants, errors, verification
CREATE SYNC JOB shop_all FROM SOURCE shop FOR TABLES (vipdb.members, MATCHING ('shop_1', '.*')) EXCEPT (shop_1.tmp, MATCHING ('.*', '_bak.*'))
  INTO lake.ods
  MODE FULL THEN REALTIME
  MERGE TABLES MATCHING ('shop_\d+', 'orders_\d+') INTO ods.orders KEY (shard, id) ADD COLUMNS (shard text = tg_source_schema() || '.' || tg_source_table())
  TABLE vipdb.members INTO ods.members KEY (id) AS (SELECT user_id AS id, * EXCLUDE (user_id, password) FROM vipdb.members WHERE NOT test)
  NAME RULES (TABLE REPLACE 't_' BY '', TABLE REGEX '^(.*)_v\d+$' BY '\1', TABLE PREFIX 'ods_', COLUMN LOWER)
  ADD COLUMNS (src text = 'shop', op_ts timestamptz = tg_commit_time())
  ON DDL (CREATE TABLE NORMAL, ADD COLUMN NORMAL, DROP COLUMN IGNORE, RENAME COLUMN ERROR, MODIFY TYPE ERROR, OTHERS IGNORE)
  ON ERROR DEAD LETTER lake.ops.dlq LIMIT 1000   VERIFY COUNT AFTER SNAPSHOT
  WITH (snapshot_tables_in_parallel='4', split_rows='200000', write_parallelism='4', batch_rows='20000', flush_interval='5s', rate_limit_bytes='50MiB');
ALTER JOB shop_all ADD TABLES (shop_9.coupons);   RESYNC JOB shop_all TABLES (shop_1.users) TRUNCATE;   PAUSE JOB shop_all TABLES (shop_1.logs);
-- EXPLAIN, run, wait (cut-over scripts)
EXPLAIN (TABLES, DDL) JOB shop_all;   START JOB shop_all;   WAIT FOR JOB shop_all PHASE stream TIMEOUT '2h';   WAIT FOR JOB shop_all LAG UNDER '5s' TIMEOUT '10min';
STOP JOB shop_all WITH SAVEPOINT before_upgrade;   START JOB shop_all FROM SAVEPOINT before_upgrade;   RETRY JOB shop_all STEP 3;   RUN JOB dim_daily FOR TIME '2026-09-29';
-- verification, cleanup, schema migration
CREATE VERIFY JOB v_orders FOR SYNC JOB shop_all TABLES (shop_1.users) METHOD HASH DIFF KEY (id) EXCEPT (op_ts)
  WITH (threads='8', bisection_factor='16', bisection_threshold='10000', settle_time='30s', recheck='3', max_diffs='1000', on_mismatch='report');
CREATE CLEANUP JOB purge_orders DELETE FROM shop.shop_1.orders WHERE (created_at < now() - interval '180 days') KEY (id) AFTER JOB shop_all VERIFIED
  SCHEDULE CRON '0 3 * * *' TIME ZONE 'Asia/Shanghai' WITH (batch_rows='5000', batch_sleep='200ms', max_rows='2000000', max_duration='2h', dry_run='true');
CREATE DDL JOB mv_schema FROM SOURCE shop FOR TABLES IN SCHEMA shop_1 INTO crm.public
  INCLUDE (TABLES, PRIMARY KEYS, INDEXES, COMMENTS) TYPE RULES ('tinyint(1)' AS boolean, 'datetime' AS timestamptz) ON EXISTS SKIP WITH (indexes='after_load');
-- roles
CREATE ROLE bi LOGIN PASSWORD 'x';  GRANT tg_read TO bi;  GRANT tg_manage TO etl;  GRANT OPERATE ON JOB shop_all TO oncall;  GRANT USAGE, SELECT ON SOURCE shop TO etl;
