//! Security Hub: findings in ASFF. With an aggregation region, asking there is asking everywhere.

use std::sync::Arc;

use aws_sdk_securityhub::Client;
use aws_sdk_securityhub::types::{
    AwsSecurityFindingFilters, AwsSecurityFindingIdentifier, DateFilter, SortCriterion, SortOrder, StringFilter,
    StringFilterComparison,
};

use super::super::normalise::normalise;
use super::super::source::{Answer, Page, Source, SourceError, Window};
use super::super::split::answer;
use super::capture::{Capture, member};
use super::{Pace, SdkConfig};
use crate::base::Timestamp;
use crate::model::{Finding, FindingState, Format, Service};

/// Findings of one call; Security Hub gives no more.
const MOST: i32 = 100;
/// Pages that are counted, so that counting leaves most calls to reading.
const COUNTED: usize = 100;

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
        self.ask(AwsSecurityFindingFilters::builder().updated_at(changed).build(), next).await
    }

    async fn get_again(&self, ids: &[String]) -> Result<Page, SourceError> {
        let is = |id: &String| StringFilter::builder().value(id).comparison(StringFilterComparison::Equals).build();
        let filters = AwsSecurityFindingFilters::builder().set_id(Some(ids.iter().map(is).collect())).build();
        self.ask(filters, None).await
    }

    /// Counted a page at a time, because no call counts: of a hub with more pages than it is worth nobody can tell.
    async fn count_open(&self) -> Result<Option<u64>, SourceError> {
        let is = |value: &str| StringFilter::builder().value(value).comparison(StringFilterComparison::Equals).build();
        let filters = AwsSecurityFindingFilters::builder()
            .record_state(is("ACTIVE"))
            .workflow_status(is("NEW"))
            .workflow_status(is("NOTIFIED"))
            .build();
        let (mut count, mut next) = (0, None::<String>);
        for _ in 0..COUNTED {
            let page = self.ask(filters.clone(), next.as_deref()).await?;
            let pieces = answer(&page.answer, Format::Asff).map_err(|error| SourceError::new(&self.name, error))?;
            // Passed checks stand among them.
            let open = pieces.iter().filter(|piece| normalise(piece.format, piece.raw).state == FindingState::Open);
            count += open.count() as u64;
            next = page.next.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(Some(count));
            }
        }
        Ok(None)
    }

    async fn get_history(&self, finding: &Finding) -> Result<Vec<u8>, SourceError> {
        let product = finding.provider_key.strip_suffix(&finding.provider_id).and_then(|key| key.strip_suffix('|'));
        let Some(product) = product else { return Ok(Vec::new()) };
        let identifier = AwsSecurityFindingIdentifier::builder().id(&finding.provider_id).product_arn(product).build();
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self.client.get_finding_history().finding_identifier(identifier).max_results(MOST);
        let done = call.customize().interceptor(capture.clone()).send().await;
        capture.answer(&self.name, done.as_ref().err().map(|e| e as _))
    }

    async fn ask(&self, filters: AwsSecurityFindingFilters, next: Option<&str>) -> Result<Page, SourceError> {
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self
            .client
            .get_findings()
            .filters(filters)
            .sort_criteria(SortCriterion::builder().field("UpdatedAt").sort_order(SortOrder::Ascending).build())
            .max_results(MOST)
            .set_next_token(next.map(str::to_owned));
        let done = call.customize().interceptor(capture.clone()).send().await;
        let answer = capture.answer(&self.name, done.as_ref().err().map(|e| e as _))?;
        let next = member::<String>(&answer, "NextToken");
        Ok(Page { answer, next })
    }
}

/// RFC 3339 with milliseconds, as Security Hub writes it.
pub(super) fn millis(time: Timestamp) -> String {
    let text = time.to_string();
    text.strip_suffix("000Z").map_or_else(|| text.clone(), |cut| format!("{cut}Z"))
}

/// A hub as a source of its own.
#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<Hub>);

impl Source for Shared {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn service(&self) -> Service {
        Service::SecurityHub
    }

    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(self.0.fetch(window, next))
    }

    /// Values of one filter.
    fn most_again(&self) -> usize {
        20
    }

    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page> {
        Box::pin(self.0.get_again(ids))
    }

    fn open(&self) -> Answer<'_, Option<u64>> {
        Box::pin(self.0.count_open())
    }

    fn history<'a>(&'a self, finding: &'a Finding) -> Answer<'a, Vec<u8>> {
        Box::pin(self.0.get_history(finding))
    }
}
