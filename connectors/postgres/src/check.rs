//! In work.
use connector_api::{Check, CheckRequest, SourceConfig};
pub(crate) async fn check(_config: &SourceConfig, _request: &CheckRequest) -> Vec<Check> {
    vec![]
}
