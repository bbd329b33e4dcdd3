//! The contract's suite on generated tables. How many rows they have is known from TPC-H itself, and
//! that the rows are right from the generator's own tests.

use async_trait::async_trait;
use connector_api::conformance::Row;
use connector_api::conformance::source::{KnownRows, KnownTable, SourceHarness, run};
use connector_api::{ConfigValue, Connector, DiscoverRequest, Source, SourceConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_connector_sample::SampleConnector;

struct Sample {
    config: SourceConfig,
}

#[async_trait]
impl SourceHarness for Sample {
    fn source(&self) -> Arc<dyn Source> {
        SampleConnector.source(&self.config).expect("a source")
    }
    async fn tables(&self) -> Vec<KnownTable> {
        let list = DiscoverRequest::List { schemas: vec![] };
        let names =
            SampleConnector.discover(&self.config, &list).await.expect("a list").into_iter().map(|table| table.name);
        let request = DiscoverRequest::Describe { tables: names.collect() };
        let tables = SampleConnector.discover(&self.config, &request).await.expect("the tables");
        tables
            .into_iter()
            .map(|schema| {
                let count = match schema.name.table.as_str() {
                    "region" => 5,
                    "nation" => 25,
                    "supplier" => 10,
                    "customer" => 150,
                    "part" => 200,
                    "partsupp" => 800,
                    "orders" => 1_500,
                    // What dbgen makes at this scale.
                    "lineitem" => 6_005,
                    other => panic!("table {other} is not one of TPC-H"),
                };
                KnownTable { schema: Arc::new(schema), rows: KnownRows::Count(count) }
            })
            .collect()
    }
    async fn change(&self, _table: &KnownTable) -> Option<Vec<Row>> {
        None
    }
}

#[tokio::test]
async fn generated_tables_keep_the_contract() {
    let options = BTreeMap::from([("scale_factor".to_owned(), ConfigValue::Text("0.001".to_owned()))]);
    let config = SourceConfig {
        name: "demo".to_owned(),
        source_id: 1,
        source_type: "sample".to_owned(),
        options: Arc::new(options),
        secret_labels: Arc::default(),
    };
    run(&Sample { config }).await;
}
