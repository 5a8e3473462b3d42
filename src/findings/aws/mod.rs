//! GuardDuty and Security Hub through the AWS SDK, which signs, retries and speaks TLS. The bytes are taken from the
//! response itself, because the SDK's types drop what they do not know.

mod capture;
mod guardduty;
mod ocsf;
mod securityhub;

use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::OnceCell;

use super::source::{Source, SourceError};
use crate::base::Clock;
use crate::config;
use crate::limits::{Ceiling, Limit};
use crate::model::Service;

/// Every configured account and region.
#[derive(Debug)]
pub(super) struct Aws {
    config: config::Findings,
    clock: Arc<dyn Clock>,
    places: OnceCell<Vec<Place>>,
}

/// One region, seen as one role.
#[derive(Debug)]
struct Place {
    guardduty: Option<guardduty::Region>,
    securityhub: Option<Arc<securityhub::Hub>>,
    ocsf: Option<Arc<ocsf::Hub>>,
}

impl Aws {
    pub(super) fn new(config: config::Findings, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, places: OnceCell::new() }
    }

    /// Every source there is now: detectors come and go.
    pub(super) async fn sources(&self) -> Vec<Result<Box<dyn Source>, SourceError>> {
        let places = self.places.get_or_init(|| self.open()).await;
        let mut all: Vec<Result<Box<dyn Source>, SourceError>> = Vec::new();
        for place in places {
            if let Some(region) = &place.guardduty {
                match region.detectors().await {
                    Ok(detectors) => all.extend(detectors.into_iter().map(|one| Ok(Box::new(one) as Box<dyn Source>))),
                    Err(error) => all.push(Err(error)),
                }
            }
            if let Some(hub) = &place.securityhub {
                all.push(Ok(Box::new(securityhub::Shared(Arc::clone(hub)))));
            }
            if let Some(hub) = &place.ocsf {
                all.push(Ok(Box::new(ocsf::Shared(Arc::clone(hub)))));
            }
        }
        all
    }

    async fn open(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for source in &self.config.sources {
            for region in &source.regions {
                let sdk = self.sdk(source, region).await;
                let name = |service: Service| {
                    let who = source.role.as_deref().unwrap_or("own");
                    format!("{}/{who}/{region}", service.as_str())
                };
                let asks = |service| source.services.contains(&service);
                places.push(Place {
                    guardduty: asks(Service::GuardDuty)
                        .then(|| guardduty::Region::new(&sdk, name(Service::GuardDuty), self.pace(2, 2))),
                    // AWS lets 3 pass in a second, 6 at once.
                    securityhub: asks(Service::SecurityHub)
                        .then(|| Arc::new(securityhub::Hub::new(&sdk, name(Service::SecurityHub), self.pace(3, 3)))),
                    ocsf: asks(Service::SecurityHubV2)
                        .then(|| Arc::new(ocsf::Hub::new(&sdk, name(Service::SecurityHubV2), self.pace(3, 3)))),
                });
            }
        }
        places
    }

    async fn sdk(&self, source: &config::FindingSource, region: &str) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(10))
            .operation_attempt_timeout(Duration::from_secs(60))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts);
        if let Some(endpoint) = &self.config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let own = loader.load().await;
        let Some(role) = &source.role else { return own };
        let mut provider = AssumeRoleProvider::builder(role).session_name("stockade-findings").configure(&own);
        if let Some(external_id) = &source.external_id {
            provider = provider.external_id(external_id);
        }
        let provider = aws_sdk_guardduty::config::SharedCredentialsProvider::new(provider.build().await);
        own.into_builder().credentials_provider(provider).build()
    }

    fn pace(&self, per_second: u32, burst: u32) -> Arc<Pace> {
        let limit = Limit::new(per_second, Duration::from_secs(1), burst);
        Arc::new(Pace(limit.ok().map(|limit| Ceiling::new(limit, Arc::clone(&self.clock)))))
    }
}

/// Calls wait for their turn, rather than being refused by AWS and keeping others from theirs.
#[derive(Debug)]
struct Pace(Option<Ceiling>);

impl Pace {
    async fn turn(&self) {
        while let Some(Err(reached)) = self.0.as_ref().map(|ceiling| ceiling.check(1)) {
            tokio::time::sleep(reached.wait.unwrap_or(Duration::from_secs(1))).await;
        }
    }
}
