//! WITH (..) on its way from statement to definition.

use crate::outcome::Notice;
use catalog::definition::{Secret, SecretBackend};
use catalog::option::{OptionSpec, check_options, parse_duration};
use catalog::store::{Change, SecretText, Snapshot};
use catalog::{Error, ErrorKind, OptionMap, OptionValue, Result, now, quote_ident};
use planner::{Literal, OptionEntry, OptionInput};
use std::collections::BTreeMap;
use std::time::Duration;

/// The text of a literal; parameters were bound before.
pub fn literal(literal: &Literal) -> Result<&str> {
    match literal {
        Literal::Text(text) => Ok(text),
        Literal::Parameter(n) => {
            Err(Error::new(ErrorKind::Remote("42P02".into()), format!("there is no parameter ${n}")))
        }
    }
}

/// A duration in a clause.
pub fn duration(clause: &str, value: &Literal) -> Result<Duration> {
    let text = literal(value)?;
    parse_duration(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidValue, format!("invalid value \"{text}\" for {clause}"))
            .with_hint("Use a number and unit, for example '30s' or '10min'.")
    })
}

/// 42704 with the nearest name.
pub fn find_secret<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a std::sync::Arc<Secret>> {
    snapshot.secret(name).ok_or_else(|| {
        let names = snapshot.secrets.values().filter(|s| s.owned_by_source.is_none()).map(|s| s.name.as_str());
        let hint = match catalog::error::nearest(name, names) {
            Some(near) => format!("Perhaps you meant \"{near}\"."),
            None => format!("CREATE SECRET {} AS '..';", quote_ident(name)),
        };
        Error::new(ErrorKind::UndefinedObject, format!("secret \"{name}\" does not exist")).with_hint(hint)
    })
}

/// What the options of a statement come to.
#[derive(Default)]
pub struct Resolved {
    /// Options as they will be stored.
    pub options: OptionMap,
    /// Values of literal secrets, by option, for a source that is not stored (VALIDATE .. TYPE).
    pub literals: BTreeMap<String, SecretText>,
    /// Secrets that literal options make.
    pub changes: Vec<Change>,
    /// What the client is told.
    pub notices: Vec<Notice>,
    /// Options written as DEFAULT.
    pub defaults: Vec<String>,
}

/// Who owns the secrets that literal options make.
pub struct Owner<'a> {
    /// Source id; 0 when nothing is stored.
    pub source_id: i64,
    /// Its name.
    pub name: &'a str,
    /// Role.
    pub role: &'a str,
    /// The options that it has now.
    pub current: &'a OptionMap,
}

/// Checks the options one by one, so that an error stands at its option, and turns secrets into
/// references.
pub fn resolve(
    entries: &[OptionEntry],
    specs: &[OptionSpec],
    snapshot: &Snapshot,
    owner: &Owner<'_>,
    mut next_id: impl FnMut() -> Result<i64>,
    (of_what, see): (&str, &str),
) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for entry in entries {
        let at = |e: Error| e.with_position(entry.position);
        let spec = specs.iter().find(|s| s.name == entry.key);
        let value = match &entry.value {
            OptionInput::Default => {
                check_name(&entry.key, specs, of_what, see).map_err(at)?;
                resolved.defaults.push(entry.key.clone());
                continue;
            }
            OptionInput::Secret(name) => {
                let id = find_secret(snapshot, name).map_err(at)?.id;
                OptionValue::Secret(id)
            }
            OptionInput::List(list) => {
                OptionValue::List(list.iter().map(|l| literal(l).map(str::to_owned)).collect::<Result<_>>()?)
            }
            OptionInput::Literal(value) => {
                let text = literal(value)?;
                match spec {
                    Some(spec) if spec.is_secret => {
                        let value = SecretText::new(text.to_owned());
                        if owner.source_id == 0 {
                            resolved.literals.insert(entry.key.clone(), value);
                            continue;
                        }
                        let (id, change) = own_secret(entry, owner, snapshot, value, &mut next_id)?;
                        resolved.changes.push(change);
                        resolved.notices.push(secret_notice(entry, owner));
                        resolved.options.insert(entry.key.clone(), OptionValue::Secret(id));
                        continue;
                    }
                    _ => OptionValue::Text(text.to_owned()),
                }
            }
        };
        let one = OptionMap::from([(entry.key.clone(), value.clone())]);
        check_options(&one, specs, false, of_what, see).map_err(at)?;
        resolved.options.insert(entry.key.clone(), value);
    }
    Ok(resolved)
}

fn check_name(key: &str, specs: &[OptionSpec], of_what: &str, see: &str) -> Result<()> {
    if specs.iter().any(|s| s.name == key) {
        return Ok(());
    }
    let unknown = OptionMap::from([(key.to_owned(), OptionValue::Text(String::new()))]);
    check_options(&unknown, specs, false, of_what, see)
}

/// The secret that a literal option makes: a new one, or the next version of the one it made before.
fn own_secret(
    entry: &OptionEntry,
    owner: &Owner<'_>,
    snapshot: &Snapshot,
    value: SecretText,
    next_id: &mut impl FnMut() -> Result<i64>,
) -> Result<(i64, Change)> {
    let existing = match owner.current.get(&entry.key) {
        Some(OptionValue::Secret(id)) => {
            snapshot.secrets.get(id).filter(|s| s.owned_by_source == Some(owner.source_id))
        }
        _ => None,
    };
    let secret = match existing {
        Some(secret) => Secret { version: secret.version + 1, altered_at: now(), ..Secret::clone(secret) },
        None => Secret {
            id: next_id()?,
            name: format!("{}.{}", owner.name, entry.key),
            backend: SecretBackend::Store,
            version: 1,
            owned_by_source: Some(owner.source_id),
            owner: owner.role.to_owned(),
            comment: None,
            created_at: now(),
            altered_at: now(),
        },
    };
    Ok((secret.id, Change::PutSecret { secret, value: Some(value) }))
}

fn secret_notice(entry: &OptionEntry, owner: &Owner<'_>) -> Notice {
    let short = if entry.key == "password" { "pw" } else { entry.key.as_str() };
    let secret = quote_ident(&format!("{}_{short}", owner.name));
    Notice::new(format!(
        "the literal given for secret option \"{}\" of source \"{}\" was stored as a secret and cannot be read back",
        entry.key, owner.name
    ))
    .with_hint(format!(
        "To share or rotate it by name: CREATE SECRET {secret} AS '...'; then {} = SECRET {secret}.",
        entry.key
    ))
}
