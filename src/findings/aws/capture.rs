//! The bytes of an answer, as they came. Also when the SDK cannot read them: one odd finding must not cost its page.

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use parking_lot::Mutex;

use super::super::source::SourceError;

/// Keeps the answer of one call; give a clone of it to the SDK.
#[derive(Clone, Debug, Default)]
pub(super) struct Capture(Arc<Mutex<Option<Vec<u8>>>>);

impl Capture {
    /// What came, if it came whole: a JSON document with status 200. Else what the SDK says.
    pub(super) fn answer(
        &self,
        name: &str,
        failure: Option<&(dyn std::error::Error + 'static)>,
    ) -> Result<Vec<u8>, SourceError> {
        let taken = self.0.lock().take();
        // Also where the SDK is content: to it an empty body is an answer without members.
        let whole = taken.filter(|bytes| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok());
        match (whole, failure) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(error)) => Err(SourceError::new(name, crate::telemetry::chain(error))),
            (None, None) => Err(SourceError::new(name, "it answered with a body that is no JSON")),
        }
    }
}

impl Intercept for Capture {
    fn name(&self) -> &'static str {
        "capture"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // Each attempt overwrites the one before.
        *self.0.lock() = response.body().bytes().filter(|_| response.status().is_success()).map(<[u8]>::to_vec);
        Ok(())
    }
}

/// The value of `name` in an answer that is a JSON object.
pub(super) fn member<T: serde::de::DeserializeOwned>(answer: &[u8], name: &str) -> Option<T> {
    let members: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_slice(answer).ok()?;
    serde_json::from_str(members.get(name)?.get()).ok()
}
