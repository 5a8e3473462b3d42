//! GuardDuty: one detector in each region; a page is a list of ids and then the findings of these.

use std::sync::Arc;

use aws_sdk_guardduty::Client;
use aws_sdk_guardduty::types::{Condition, FindingCriteria, GroupByType, OrderBy, SortCriteria};

use super::super::source::{Answer, Page, Source, SourceError, Window};
use super::capture::{Capture, member};
use super::{Pace, SdkConfig};
use crate::model::Service;

/// Findings of one call; GuardDuty gives no more.
const MOST: i32 = 50;

/// One region, seen as one role.
#[derive(Debug)]
pub(super) struct Region {
    client: Client,
    name: String,
    pace: Arc<Pace>,
}

impl Region {
    pub(super) fn new(sdk: &SdkConfig, name: String, pace: Arc<Pace>) -> Self {
        Self { client: Client::new(sdk), name, pace }
    }

    /// The detectors there are now.
    pub(super) async fn detectors(&self) -> Result<Vec<Detector>, SourceError> {
        let (mut all, mut next) = (Vec::<String>::new(), None::<String>);
        loop {
            self.pace.turn().await;
            let capture = Capture::default();
            let call = self.client.list_detectors().max_results(MOST).set_next_token(next.clone());
            let done = call.customize().interceptor(capture.clone()).send().await;
            let answer = capture.answer(&self.name, done.as_ref().err().map(|e| e as _))?;
            all.extend(member::<Vec<String>>(&answer, "detectorIds").unwrap_or_default());
            let token = member::<String>(&answer, "nextToken").filter(|token| !token.is_empty());
            if token.is_none() || token == next {
                break;
            }
            next = token;
        }
        let one = |id: String| Detector {
            client: self.client.clone(),
            name: format!("{}/{id}", self.name),
            id,
            pace: Arc::clone(&self.pace),
        };
        Ok(all.into_iter().map(one).collect())
    }
}

/// A detector.
#[derive(Debug)]
pub(super) struct Detector {
    client: Client,
    name: String,
    id: String,
    pace: Arc<Pace>,
}

impl Detector {
    async fn fetch(&self, window: Window, next: Option<&str>) -> Result<Page, SourceError> {
        let millis = |time: crate::base::Timestamp| time.as_micros().div_euclid(1000);
        let changed = Condition::builder()
            .greater_than_or_equal(millis(window.from))
            .less_than_or_equal(millis(window.to))
            .build();
        let sort = by_update();
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self
            .client
            .list_findings()
            .detector_id(&self.id)
            .finding_criteria(FindingCriteria::builder().criterion("updatedAt", changed).build())
            .sort_criteria(sort.clone())
            .max_results(MOST)
            .set_next_token(next.map(str::to_owned));
        let done = call.customize().interceptor(capture.clone()).send().await;
        let listed = capture.answer(&self.name, done.as_ref().err().map(|e| e as _))?;
        let next = member::<String>(&listed, "nextToken");
        let Some(ids) = member::<Vec<String>>(&listed, "findingIds") else {
            return Err(SourceError::new(&self.name, "it lists no `findingIds`"));
        };
        Ok(Page { answer: self.get(ids, sort).await?, next })
    }

    async fn get(&self, ids: Vec<String>, sort: SortCriteria) -> Result<Vec<u8>, SourceError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self.client.get_findings().detector_id(&self.id).set_finding_ids(Some(ids)).sort_criteria(sort);
        let done = call.customize().interceptor(capture.clone()).send().await;
        capture.answer(&self.name, done.as_ref().err().map(|e| e as _))
    }

    async fn count_open(&self) -> Result<Option<u64>, SourceError> {
        let open = Condition::builder().equals("false").build();
        self.pace.turn().await;
        let capture = Capture::default();
        let call = self
            .client
            .get_findings_statistics()
            .detector_id(&self.id)
            .finding_criteria(FindingCriteria::builder().criterion("service.archived", open).build())
            .group_by(GroupByType::Severity)
            .max_results(100);
        let done = call.customize().interceptor(capture.clone()).send().await;
        let answer = capture.answer(&self.name, done.as_ref().err().map(|e| e as _))?;
        let counted = member::<serde_json::Value>(&answer, "findingStatistics");
        let groups = counted.as_ref().and_then(|counted| counted.get("groupedBySeverity")?.as_array());
        let Some(groups) = groups else { return Err(SourceError::new(&self.name, "it counts nothing by severity")) };
        Ok(Some(groups.iter().filter_map(|group| group.get("totalFindings")?.as_u64()).sum()))
    }

    /// By ARN; GuardDuty wants its last part.
    async fn get_again(&self, arns: &[String]) -> Result<Page, SourceError> {
        let ids = arns.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn).to_owned()).collect();
        Ok(Page { answer: self.get(ids, by_update()).await?, next: None })
    }
}

fn by_update() -> SortCriteria {
    SortCriteria::builder().attribute_name("updatedAt").order_by(OrderBy::Asc).build()
}

impl Source for Detector {
    fn name(&self) -> &str {
        &self.name
    }

    fn service(&self) -> Service {
        Service::GuardDuty
    }

    fn page<'a>(&'a self, window: Window, next: Option<&'a str>) -> Answer<'a, Page> {
        Box::pin(self.fetch(window, next))
    }

    fn most_again(&self) -> usize {
        50
    }

    fn again<'a>(&'a self, ids: &'a [String]) -> Answer<'a, Page> {
        Box::pin(self.get_again(ids))
    }

    fn open(&self) -> Answer<'_, Option<u64>> {
        Box::pin(self.count_open())
    }
}
