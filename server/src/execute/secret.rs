//! CREATE and ALTER SECRET.

use super::Context;
use super::option::{find_secret, literal};
use super::source::exists_notice;
use crate::outcome::Notice;
use catalog::definition::{Secret, SecretBackend};
use catalog::store::{Change, SecretText};
use catalog::{Error, ErrorKind, Result, now, quote_ident};
use planner::{AlterSecret, SecretInput};

fn backend(value: &SecretInput) -> Result<(SecretBackend, Option<SecretText>)> {
    Ok(match value {
        SecretInput::Literal(text) => (SecretBackend::Store, Some(SecretText::new(literal(text)?.to_owned()))),
        SecretInput::Env(name) => {
            let variable = literal(name)?.to_owned();
            if std::env::var_os(&variable).is_none() {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    format!("environment variable \"{variable}\" is not set in the gateway"),
                )
                .with_hint("Set it where the gateway is started, or give the value: CREATE SECRET .. AS '...';"));
            }
            (SecretBackend::Env { variable }, None)
        }
        SecretInput::File(path) => {
            let path = literal(path)?.to_owned();
            if let Err(e) = std::fs::File::open(&path) {
                return Err(Error::new(ErrorKind::Io, format!("could not read secret file \"{path}\""))
                    .with_detail(format!("{e}."))
                    .with_source(e));
            }
            (SecretBackend::File { path }, None)
        }
    })
}

pub(super) async fn create(
    c: &Context<'_>,
    or_replace: bool,
    if_not_exists: bool,
    name: String,
    value: SecretInput,
) -> Result<()> {
    let base = c.snapshot();
    let (backend, value) = backend(&value)?;
    let secret = match base.secret(&name) {
        Some(existing) if or_replace => {
            Secret { backend, version: existing.version + 1, altered_at: now(), ..Secret::clone(existing) }
        }
        Some(_) if if_not_exists => {
            c.session.notice(exists_notice("secret", &name));
            return Ok(());
        }
        Some(_) => {
            return Err(Error::new(ErrorKind::DuplicateObject, format!("secret \"{name}\" already exists"))
                .with_hint(format!("ALTER SECRET {} AS '...';", quote_ident(&name))));
        }
        None => Secret {
            id: c.next_id()?,
            name,
            backend,
            version: 1,
            owned_by_source: None,
            owner: c.session.role.clone(),
            comment: None,
            created_at: now(),
            altered_at: now(),
        },
    };
    c.apply(&base, vec![Change::PutSecret { secret, value }], vec![]).await
}

pub(super) async fn alter(c: &Context<'_>, name: &str, action: AlterSecret) -> Result<()> {
    let base = c.snapshot();
    let mut secret = Secret::clone(find_secret(&base, name)?);
    let mut text = None;
    match action {
        AlterSecret::Value(input) => {
            (secret.backend, text) = backend(&input)?;
            let users = base.users_of_secret(secret.id).count();
            if users > 0 {
                c.session.notice(Notice::new(format!(
                    "{users} {} secret \"{name}\"; the next connection uses the new value",
                    if users == 1 { "source uses" } else { "sources use" }
                )));
            }
        }
        AlterSecret::Rename(new) => {
            if base.secret(&new).is_some() {
                return Err(Error::new(ErrorKind::DuplicateObject, format!("secret \"{new}\" already exists")));
            }
            secret.name = new;
        }
        AlterSecret::Owner(role) => secret.owner = role,
    }
    secret.version += 1;
    secret.altered_at = now();
    c.apply(&base, vec![Change::PutSecret { secret, value: text }], vec![]).await
}
