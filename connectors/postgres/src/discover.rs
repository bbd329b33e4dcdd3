//! In work.
use connector_api::{DiscoverRequest, SourceConfig, TableSchema};
pub(crate) async fn discover(_config: &SourceConfig, _request: &DiscoverRequest) -> catalog::Result<Vec<TableSchema>> {
    Err(catalog::Error::unsupported("discovery"))
}
