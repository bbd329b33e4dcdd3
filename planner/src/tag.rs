//! What a client hears at the end of a statement, and whether rows come before it.

use crate::statement::*;
use datafusion_sql::sqlparser::ast;

/// The command tag, as PostgreSQL writes tags, without a count of rows.
///
/// For EXECUTE it is the tag of what was prepared that counts; for what is not built none is ever sent.
pub fn command_tag(statement: &Statement) -> &'static str {
    match statement {
        Statement::Sql(statement) => sql_tag(statement),
        Statement::Session(statement) => session_tag(statement),
        Statement::CreateSecret { .. } => "CREATE SECRET",
        Statement::AlterSecret { .. } => "ALTER SECRET",
        Statement::CreateSource { .. } => "CREATE SOURCE",
        Statement::AlterSource { .. } => "ALTER SOURCE",
        Statement::ValidateSource { .. } => "VALIDATE",
        Statement::CreateSinkTable { .. } => "CREATE SINK TABLE",
        Statement::CreateSyncJob(_) => "CREATE SYNC JOB",
        Statement::AlterJob { .. } => "ALTER JOB",
        Statement::StartJob { .. } => "START JOB",
        Statement::StopJob { .. } => "STOP JOB",
        Statement::RunJob { .. } => "RUN JOB",
        Statement::CancelRun { .. } => "CANCEL JOB",
        Statement::RetryJob { .. } => "RETRY JOB",
        Statement::WaitForJob { .. } => "WAIT",
        Statement::RefreshMapping { .. } => "REFRESH MAPPING",
        Statement::Drop { kind, .. } => match kind {
            ObjectKind::Secret => "DROP SECRET",
            ObjectKind::Source => "DROP SOURCE",
            ObjectKind::SinkTable => "DROP SINK TABLE",
            ObjectKind::SourceTable => "DROP SOURCE TABLE",
            ObjectKind::Job => "DROP JOB",
        },
        Statement::Show(_) => "SHOW",
        Statement::Describe { .. } => "DESCRIBE",
        Statement::Comment { .. } => "COMMENT",
        Statement::ExplainJob { .. } | Statement::ExplainCreateJob { .. } => "EXPLAIN",
        Statement::NotBuilt { .. } => "",
    }
}

/// Whether the statement answers with rows. EXECUTE answers false: what was prepared decides.
pub fn returns_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Sql(statement) => sql_returns_rows(statement),
        Statement::Session(statement) => {
            matches!(statement, SessionStatement::ShowSetting(_) | SessionStatement::Fetch { .. })
        }
        Statement::ValidateSource { .. }
        | Statement::Show(_)
        | Statement::Describe { .. }
        | Statement::ExplainJob { .. }
        | Statement::ExplainCreateJob { .. } => true,
        Statement::CreateSecret { .. }
        | Statement::AlterSecret { .. }
        | Statement::CreateSource { .. }
        | Statement::AlterSource { .. }
        | Statement::CreateSinkTable { .. }
        | Statement::CreateSyncJob(_)
        | Statement::AlterJob { .. }
        | Statement::StartJob { .. }
        | Statement::StopJob { .. }
        | Statement::RunJob { .. }
        | Statement::CancelRun { .. }
        | Statement::RetryJob { .. }
        | Statement::WaitForJob { .. }
        | Statement::RefreshMapping { .. }
        | Statement::Drop { .. }
        | Statement::Comment { .. }
        | Statement::NotBuilt { .. } => false,
    }
}

fn session_tag(statement: &SessionStatement) -> &'static str {
    match statement {
        SessionStatement::Begin { .. } => "BEGIN",
        SessionStatement::Commit => "COMMIT",
        SessionStatement::Rollback | SessionStatement::RollbackTo(_) => "ROLLBACK",
        SessionStatement::Savepoint(_) => "SAVEPOINT",
        SessionStatement::Release(_) => "RELEASE",
        SessionStatement::Set { .. } | SessionStatement::SetTransaction { .. } => "SET",
        SessionStatement::ShowSetting(_) => "SHOW",
        SessionStatement::Reset(_) => "RESET",
        SessionStatement::Discard(what) => match what.as_str() {
            "PLANS" => "DISCARD PLANS",
            "SEQUENCES" => "DISCARD SEQUENCES",
            "TEMP" => "DISCARD TEMP",
            _ => "DISCARD ALL",
        },
        SessionStatement::Deallocate(Some(_)) => "DEALLOCATE",
        SessionStatement::Deallocate(None) => "DEALLOCATE ALL",
        SessionStatement::Prepare { .. } => "PREPARE",
        SessionStatement::Execute { .. } => "EXECUTE",
        SessionStatement::DeclareCursor { .. } => "DECLARE CURSOR",
        SessionStatement::Fetch { .. } => "FETCH",
        SessionStatement::Move { .. } => "MOVE",
        SessionStatement::Close(Some(_)) => "CLOSE CURSOR",
        SessionStatement::Close(None) => "CLOSE CURSOR ALL",
        SessionStatement::Listen(_) => "LISTEN",
        SessionStatement::Unlisten(_) => "UNLISTEN",
        SessionStatement::Notify(_) => "NOTIFY",
    }
}

/// Stock statements have more variants than we answer to: the rest is refused by name before a tag is sent.
fn sql_tag(statement: &ast::Statement) -> &'static str {
    use ast::ObjectType as Object;
    use ast::Statement as Sql;
    match statement {
        Sql::Query(query) => match &*query.body {
            ast::SetExpr::Insert(_) => "INSERT",
            ast::SetExpr::Update(_) => "UPDATE",
            ast::SetExpr::Delete(_) => "DELETE",
            ast::SetExpr::Merge(_) => "MERGE",
            _ => "SELECT",
        },
        Sql::Explain { .. } => "EXPLAIN",
        Sql::ExplainTable { .. } => "DESCRIBE",
        Sql::Insert(_) => "INSERT",
        Sql::Update(_) => "UPDATE",
        Sql::Delete(_) => "DELETE",
        Sql::Merge(_) => "MERGE",
        Sql::Copy { .. } => "COPY",
        Sql::Truncate(_) => "TRUNCATE TABLE",
        Sql::Analyze(_) => "ANALYZE",
        Sql::Vacuum(_) => "VACUUM",
        Sql::Call(_) => "CALL",
        Sql::Comment { .. } => "COMMENT",
        Sql::Grant(_) => "GRANT",
        Sql::Revoke(_) => "REVOKE",
        Sql::CreateTable(table) if table.query.is_some() => "SELECT",
        Sql::CreateTable(_) => "CREATE TABLE",
        Sql::CreateView(view) if view.materialized => "CREATE MATERIALIZED VIEW",
        Sql::CreateView(_) => "CREATE VIEW",
        Sql::CreateIndex(_) => "CREATE INDEX",
        Sql::CreateSchema { .. } => "CREATE SCHEMA",
        Sql::CreateDatabase { .. } => "CREATE DATABASE",
        Sql::CreateRole(_) => "CREATE ROLE",
        Sql::CreateFunction(_) => "CREATE FUNCTION",
        Sql::CreateProcedure { .. } => "CREATE PROCEDURE",
        Sql::CreateSequence { .. } => "CREATE SEQUENCE",
        Sql::CreateType { .. } => "CREATE TYPE",
        Sql::CreateDomain(_) => "CREATE DOMAIN",
        Sql::CreateExtension(_) => "CREATE EXTENSION",
        Sql::CreateTrigger(_) => "CREATE TRIGGER",
        Sql::CreatePolicy(_) => "CREATE POLICY",
        Sql::CreateServer(_) => "CREATE SERVER",
        Sql::CreateCollation(_) => "CREATE COLLATION",
        Sql::CreateOperator(_) => "CREATE OPERATOR",
        Sql::CreateOperatorFamily(_) => "CREATE OPERATOR FAMILY",
        Sql::CreateOperatorClass(_) => "CREATE OPERATOR CLASS",
        Sql::AlterTable(_) => "ALTER TABLE",
        Sql::AlterView { .. } => "ALTER VIEW",
        Sql::AlterIndex { .. } => "ALTER INDEX",
        Sql::AlterSchema(_) => "ALTER SCHEMA",
        Sql::AlterRole { .. } => "ALTER ROLE",
        Sql::AlterFunction(_) => "ALTER FUNCTION",
        Sql::AlterType(_) => "ALTER TYPE",
        Sql::AlterCollation(_) => "ALTER COLLATION",
        Sql::AlterOperator(_) => "ALTER OPERATOR",
        Sql::AlterPolicy(_) => "ALTER POLICY",
        Sql::DropFunction(_) => "DROP FUNCTION",
        Sql::DropProcedure { .. } => "DROP PROCEDURE",
        Sql::DropDomain(_) => "DROP DOMAIN",
        Sql::DropTrigger(_) => "DROP TRIGGER",
        Sql::DropExtension(_) => "DROP EXTENSION",
        Sql::DropPolicy(_) => "DROP POLICY",
        Sql::DropOperator(_) => "DROP OPERATOR",
        Sql::Drop { object_type, .. } => match object_type {
            Object::Table => "DROP TABLE",
            Object::View => "DROP VIEW",
            Object::MaterializedView => "DROP MATERIALIZED VIEW",
            Object::Index => "DROP INDEX",
            Object::Schema => "DROP SCHEMA",
            Object::Database => "DROP DATABASE",
            Object::Role | Object::User => "DROP ROLE",
            Object::Sequence => "DROP SEQUENCE",
            Object::Type => "DROP TYPE",
            Object::Collation => "DROP COLLATION",
            _ => "DROP",
        },
        _ => "STATEMENT",
    }
}

fn sql_returns_rows(statement: &ast::Statement) -> bool {
    use ast::Statement as Sql;
    match statement {
        Sql::Query(query) => match &*query.body {
            ast::SetExpr::Insert(inner)
            | ast::SetExpr::Update(inner)
            | ast::SetExpr::Delete(inner)
            | ast::SetExpr::Merge(inner) => sql_returns_rows(inner),
            _ => true,
        },
        Sql::Explain { .. } | Sql::ExplainTable { .. } => true,
        Sql::Insert(insert) => insert.returning.is_some(),
        Sql::Update(update) => update.returning.is_some(),
        Sql::Delete(delete) => delete.returning.is_some(),
        _ => false,
    }
}
