//! Rotation as a plan: what to do with the keys at hand, computed without doing it. Running it again when it has been
//! carried out gives nothing more to do.
//!
//! A key's life: generated and published; after [`Settings::publish_ahead`] it signs; when its successor signs it is
//! retired; after [`Settings::keep`] its last token has died and it is deleted.

use std::time::Duration;

use crate::base::Timestamp;
use crate::model::{Algorithm, KeyState, SigningKey};

/// How keys live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Algorithms that always have a key. Those of keys that exist are kept up as well.
    pub algs: Vec<Algorithm>,
    /// How long a key signs before its successor does.
    pub period: Duration,
    /// How long a successor is published before it signs: at least the `max-age` of the JWK Set, so that every cache has
    /// it by then.
    pub publish_ahead: Duration,
    /// How long a retired key still verifies: the longest life of an access token, and a little.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algs: vec![Algorithm::ES256],
            period: Duration::from_secs(30 * 24 * 3600),
            publish_ahead: Duration::from_secs(3600),
            keep: Duration::from_secs(25 * 3600),
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key that signs from `activates_at` on.
    Generate {
        /// For this algorithm.
        alg: Algorithm,
        /// When it signs.
        activates_at: Timestamp,
    },
    /// Its successor takes over.
    Retire {
        /// Which key.
        kid: String,
        /// When it stops signing: when the successor starts.
        retired_at: Timestamp,
        /// When it leaves the JWK Set.
        expires_at: Timestamp,
    },
    /// Its last token has died.
    Delete {
        /// Which key.
        kid: String,
    },
}

/// Other processes publish a new key up to a second after it was made; this is that, and a little.
const FOLLOW: Duration = Duration::from_secs(5);

/// When a key made now, to follow one that signs, starts to sign.
pub fn activation(settings: &Settings, now: Timestamp) -> Timestamp {
    now.plus(settings.publish_ahead).plus(FOLLOW)
}

/// What to do now.
pub fn plan(keys: &[SigningKey], settings: &Settings, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    let living = |alg| keys.iter().filter(move |k| k.alg == alg && k.retired_at.is_none());
    for alg in Algorithm::ALL {
        if !settings.algs.contains(&alg) && living(alg).next().is_none() {
            continue;
        }
        let newest = living(alg).max_by(|a, b| (a.activates_at, &a.kid).cmp(&(b.activates_at, &b.kid)));
        let Some(newest) = newest else {
            // Nothing signs: waiting would refuse every token, and verifiers fetch the set again for a new `kid`.
            steps.push(Step::Generate { alg, activates_at: now });
            continue;
        };
        let due = newest.activates_at.plus(settings.period).minus(settings.publish_ahead + FOLLOW);
        if newest.state(now) == KeyState::Active && now >= due {
            steps.push(Step::Generate { alg, activates_at: activation(settings, now) });
        }
        for old in living(alg).filter(|k| k.kid != newest.kid) {
            let retired_at = newest.activates_at;
            let expires_at = retired_at.max(now).plus(settings.keep);
            steps.push(Step::Retire { kid: old.kid.clone(), retired_at, expires_at });
        }
    }
    let dead = keys.iter().filter(|k| k.state(now) == KeyState::Expired);
    steps.extend(dead.map(|k| Step::Delete { kid: k.kid.clone() }));
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn key(kid: usize, alg: Algorithm, now: Timestamp, activates_at: Timestamp) -> SigningKey {
        SigningKey {
            kid: format!("k{kid:04}"),
            alg,
            public_jwk: String::new(),
            sealed: Vec::new(),
            created_at: now,
            activates_at,
            retired_at: None,
            expires_at: None,
        }
    }

    /// Carries a plan out.
    fn carry_out(keys: &mut Vec<SigningKey>, steps: Vec<Step>, now: Timestamp, made: &mut usize) {
        for step in steps {
            match step {
                Step::Generate { alg, activates_at } => {
                    *made += 1;
                    keys.push(key(*made, alg, now, activates_at));
                }
                Step::Retire { kid, retired_at, expires_at } => {
                    let key = keys.iter_mut().find(|k| k.kid == kid).unwrap();
                    (key.retired_at, key.expires_at) = (Some(retired_at), Some(expires_at));
                }
                Step::Delete { kid } => keys.retain(|k| k.kid != kid),
            }
        }
    }

    #[test]
    fn the_first_key_signs_at_once() {
        let steps = plan(&[], &Settings::default(), START);
        assert_eq!(steps, [Step::Generate { alg: Algorithm::ES256, activates_at: START }]);
    }

    #[test]
    fn a_key_in_an_algorithm_no_longer_listed_is_still_rotated() {
        let settings = Settings::default();
        let old = key(1, Algorithm::RS256, START, START);
        let es = key(2, Algorithm::ES256, START.plus(settings.period), START.plus(settings.period));
        let now = START.plus(settings.period);
        assert_eq!(
            plan(&[old, es], &settings, now),
            [Step::Generate { alg: Algorithm::RS256, activates_at: activation(&settings, now) }]
        );
    }

    proptest! {
        /// C14: whenever the plan is run, however irregularly, something always signs; a key that follows another was
        /// published for `publish_ahead` before it signs; a key that signed stays for `keep` after.
        #[test]
        fn rotation_never_leaves_a_verifier_behind(
            period in 2..40_u64, ahead in 0..3_u64, keep in 1..30_u64,
            ticks in proptest::collection::vec(1..(3 * 3600_u64), 1..200),
        ) {
            let hours = |n: u64| Duration::from_secs(n * 3600);
            let settings = Settings {
                algs: vec![Algorithm::ES256, Algorithm::EdDSA],
                period: hours(period), publish_ahead: hours(ahead), keep: hours(keep),
            };
            let (mut keys, mut now, mut made) = (Vec::new(), START, 0);
            let mut last_signed: std::collections::HashMap<String, Timestamp> = std::collections::HashMap::new();
            for tick in ticks {
                for _ in 0..3 {
                    let steps = plan(&keys, &settings, now);
                    carry_out(&mut keys, steps, now, &mut made);
                }
                prop_assert_eq!(plan(&keys, &settings, now), vec![], "the plan comes to rest");
                for alg in [Algorithm::ES256, Algorithm::EdDSA] {
                    let signing = keys.iter().filter(|k| k.alg == alg && k.state(now) == KeyState::Active);
                    let signing = signing.max_by_key(|k| k.activates_at);
                    prop_assert!(signing.is_some(), "something signs {alg:?} at {now}");
                    last_signed.insert(signing.unwrap().kid.clone(), now);
                }
                for k in &keys {
                    let first = k.activates_at == k.created_at;
                    prop_assert!(first && k.created_at == START || k.activates_at.since(k.created_at) >= settings.publish_ahead);
                }
                for (kid, at) in &last_signed {
                    let kept = keys.iter().any(|k| k.kid == *kid && k.state(now) != KeyState::Expired);
                    prop_assert!(kept || now.since(*at) >= settings.keep, "{kid} left before its tokens died");
                }
                now = now.plus(Duration::from_secs(tick));
            }
        }
    }
}
