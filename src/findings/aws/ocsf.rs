//! Security Hub of 2025: findings in OCSF (`GetFindingsV2`).

use std::sync::Arc;

use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::types::{
    AllowedOperators, CompositeFilter, DateFilter, OcsfDateField, OcsfDateFilter, OcsfFindingFilters, OcsfStringField,
    OcsfStringFilter, SortCriterion, SortOrder, StringFilter, StringFilterComparison,
};

use super::super::source::{Answer, Page, Source, SourceError, Window};
use super::capture::{Capture, member};
use super::securityhub::millis;
use super::{Pace, SdkConfig};
use crate::model::Service;

/// Findings of one call; Security Hub gives no more.
const MOST: i32 = 100;
/// What orders them.
const MODIFIED: &str = "finding_info.modified_time_dt";

/// One region, seen as one role.
#[derive(Debug)]
pub(super) struct Hub {
    client: Client,
    name: String,
    pace: Arc<Pace>,
}

impl Hub {
    pub(super) fn new(sdk: &SdkConfig, name: String, pace: Arc<Pace>) -> Self {
        Self { client: Client::new(sdk), name, pace }
    }

    async fn fetch(&self, window: Window, next: Option<&str>) -> Result<Page, SourceError> {
        let changed = DateFilter::builder().start(millis(window.from)).end(millis(window.to)).build();
        let changed =
            OcsfDateFilter::builder().field_name(OcsfDateField::FindingInfoModifiedTimeDt).filter(changed).build();
        self.ask(CompositeFilter::builder().date_filters(changed).build(), next).await
    }

    /// By the finding's id, or by Security Hub's own.
    async fn get_again(&self, ids: &[String]) -> Result<Page, SourceError> {
        let mut wanted = CompositeFilter::builder().operator(AllowedOperators::Or);
        for id in ids {
            for field in [OcsfStringField::FindingInfoUid, OcsfStringField::MetadataUid] {
                let is = StringFilter::builder().value(id).comparison(StringFilterComparison::Equals).build();
                wanted = wanted.string_filters(OcsfStringFilter::builder().field_name(field).filter(is).build());
            }
        }
        self.ask(wanted.build(), None).await
    }

    async fn ask(&self, filter: CompositeFilter, next: Option<&str>) -> Result<Page, SourceError> {
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self
            .client
            .get_findings_v2()
            .filters(OcsfFindingFilters::builder().composite_filters(filter).build())
            .sort_criteria(SortCriterion::builder().field(MODIFIED).sort_order(SortOrder::Ascending).build())
            .max_results(MOST)
            .set_next_token(next.map(str::to_owned));
        let done = call.customize().interceptor(capture.clone()).send().await;
        let answer = capture.answer(&self.name, done.as_ref().err().map(|e| e as _))?;
        let next = member::<String>(&answer, "NextToken");
        Ok(Page { answer, next })
    }
}

/// A hub as a source of its own.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<Hub>);

impl Source for Shared {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn service(&self) -> Service {
        Service::SecurityHubV2
    }

    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(self.0.fetch(window, next))
    }

    /// Two of its filters each; it takes 20.
    fn most_again(&self) -> usize {
        10
    }

    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page> {
        Box::pin(self.0.get_again(ids))
    }
}
