//! Bind values into our own statements: `$n` stands where a literal may stand.

use crate::statement::*;
use catalog::{Error, ErrorKind, Result};

/// Puts values, in text form, in the place of parameters; `$1` is `values[0]`.
///
/// Stock SQL and session statements come back as they are: their parameters are the plan's. A NULL
/// and a missing value are 22023; no error repeats a value, which may be a secret.
pub fn bind(mut statement: Statement, values: &[Option<String>]) -> Result<Statement> {
    let mut binding = Binding { values };
    match &mut statement {
        Statement::CreateSecret { value, .. } => binding.secret(value)?,
        Statement::AlterSecret { action: AlterSecret::Value(value), .. } => binding.secret(value)?,
        Statement::CreateSource { options, .. } | Statement::CreateSinkTable { options, .. } => {
            binding.options(options)?
        }
        Statement::AlterSource { action: AlterSource::Set(options), .. }
        | Statement::AlterJob { action: AlterJob::Set(options), .. } => binding.options(options)?,
        Statement::ValidateSource { target, timeout, .. } => {
            if let ValidateTarget::Inline { options, .. } = target {
                binding.options(options)?;
            }
            binding.optional(timeout)?;
        }
        Statement::CreateSyncJob(job) | Statement::ExplainCreateJob { job, .. } => binding.options(&mut job.options)?,
        Statement::RunJob { for_time, .. } => binding.optional(for_time)?,
        Statement::WaitForJob { what, timeout, .. } => {
            if let WaitFor::LagUnder(literal) = what {
                binding.literal(literal)?;
            }
            binding.optional(timeout)?;
        }
        Statement::AlterSecret { action: AlterSecret::Rename(_) | AlterSecret::Owner(_), .. }
        | Statement::AlterSource {
            action: AlterSource::Reset(_) | AlterSource::Rename(_) | AlterSource::Owner(_) | AlterSource::Refresh(_),
            ..
        }
        | Statement::AlterJob {
            action:
                AlterJob::Reset(_)
                | AlterJob::SetMode(_)
                | AlterJob::SetWrite { .. }
                | AlterJob::SetOnError(_)
                | AlterJob::AddTables(_)
                | AlterJob::DropTables(_)
                | AlterJob::Query(_)
                | AlterJob::Rename(_)
                | AlterJob::Owner(_),
            ..
        }
        | Statement::Sql(_)
        | Statement::Session(_)
        | Statement::StartJob { .. }
        | Statement::StopJob { .. }
        | Statement::CancelRun { .. }
        | Statement::RetryJob { .. }
        | Statement::RefreshMapping { .. }
        | Statement::Drop { .. }
        | Statement::Show(_)
        | Statement::Describe { .. }
        | Statement::Comment { .. }
        | Statement::ExplainJob { .. }
        | Statement::NotBuilt { .. } => {}
    }
    Ok(statement)
}

struct Binding<'a> {
    values: &'a [Option<String>],
}

impl Binding<'_> {
    fn literal(&mut self, literal: &mut Literal) -> Result<()> {
        let Literal::Parameter(n) = *literal else { return Ok(()) };
        match n.checked_sub(1).and_then(|i| self.values.get(i)) {
            Some(Some(value)) => *literal = Literal::Text(value.clone()),
            Some(None) => return Err(Error::new(ErrorKind::InvalidValue, format!("parameter ${n} is null"))),
            None => return Err(Error::new(ErrorKind::InvalidValue, format!("no value is given for parameter ${n}"))),
        }
        Ok(())
    }

    fn optional(&mut self, literal: &mut Option<Literal>) -> Result<()> {
        literal.as_mut().map_or(Ok(()), |literal| self.literal(literal))
    }

    fn secret(&mut self, value: &mut SecretInput) -> Result<()> {
        match value {
            SecretInput::Literal(literal) | SecretInput::Env(literal) | SecretInput::File(literal) => {
                self.literal(literal)
            }
        }
    }

    fn options(&mut self, options: &mut [OptionEntry]) -> Result<()> {
        for option in options {
            match &mut option.value {
                OptionInput::Literal(literal) => self.literal(literal)?,
                OptionInput::List(literals) => literals.iter_mut().try_for_each(|literal| self.literal(literal))?,
                OptionInput::Secret(_) | OptionInput::Default => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sql: &str) -> (Statement, usize) {
        let mut parsed = crate::parse(sql).unwrap();
        let parsed = parsed.remove(0);
        (parsed.statement, parsed.parameter_count)
    }

    #[test]
    fn values_stand_where_literals_may_stand() {
        let (statement, count) = one("CREATE SECRET a AS $1");
        assert_eq!(count, 1);
        match bind(statement, &[Some("x".into())]).unwrap() {
            Statement::CreateSecret { value, .. } => assert_eq!(value, SecretInput::Literal(Literal::Text("x".into()))),
            other => panic!("{other:?}"),
        }
        let (statement, count) = one("CREATE SOURCE a TYPE t WITH (host = $2, brokers = ('k', $1), p = SECRET s)");
        assert_eq!(count, 2);
        match bind(statement, &[Some("one".into()), Some("two".into())]).unwrap() {
            Statement::CreateSource { options, .. } => {
                assert_eq!(options[0].value, OptionInput::Literal(Literal::Text("two".into())));
                assert_eq!(
                    options[1].value,
                    OptionInput::List(vec![Literal::Text("k".into()), Literal::Text("one".into())])
                );
            }
            other => panic!("{other:?}"),
        }
        let (statement, count) = one("WAIT FOR JOB j LAG UNDER $1 TIMEOUT $2");
        assert_eq!(count, 2);
        match bind(statement, &[Some("5s".into()), Some("1h".into())]).unwrap() {
            Statement::WaitForJob { what, timeout, .. } => {
                assert_eq!(what, WaitFor::LagUnder(Literal::Text("5s".into())));
                assert_eq!(timeout, Some(Literal::Text("1h".into())));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn null_and_missing_values_are_refused() {
        for (values, message) in
            [(&[None][..], "parameter $1 is null"), (&[][..], "no value is given for parameter $1")]
        {
            let error = bind(one("ALTER SECRET a AS $1").0, values).unwrap_err();
            assert_eq!((error.sqlstate(), error.message()), ("22023", message));
        }
    }
}
