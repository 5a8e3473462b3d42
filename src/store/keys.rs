//! Signing keys and other sealed values.

use super::changes::{self, Topic};
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::{Algorithm, SigningKey};

statements! {
    ALL = shared(
        "select kid, alg, public_jwk, sealed, created_at, activates_at, retired_at, expires_at
         from signing_keys order by created_at, kid"
    );
    INSERT = shared(
        "insert into signing_keys (kid, alg, public_jwk, sealed, created_at, activates_at, retired_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    RETIRE = shared("update signing_keys set retired_at = $2, expires_at = $3 where kid = $1 returning kid");
    DELETE = shared("delete from signing_keys where kid = $1 returning kid");
    FIND_SEALED = shared("select sealed from sealed_values where name = $1");
    INSERT_SEALED = shared("insert into sealed_values (name, sealed) values ($1, $2) on conflict (name) do nothing");
}

type Row = (String, String, String, Vec<u8>, i64, i64, Option<i64>, Option<i64>);

/// Every signing key, oldest first. There are a handful.
///
/// # Errors
/// [`StoreError::Corrupt`] for an algorithm that this binary does not know.
pub async fn all(handle: &mut impl Handle) -> Result<Vec<SigningKey>, StoreError> {
    let rows: Vec<Row> = run!(handle, ALL, |conn, text| sqlx::query_as(text).fetch_all(conn))?;
    rows.into_iter()
        .map(|(kid, alg, public_jwk, sealed, created_at, activates_at, retired_at, expires_at)| {
            let problem = || StoreError::Corrupt { table: "signing_keys", problem: format!("algorithm `{alg}`") };
            Ok(SigningKey {
                alg: Algorithm::parse(&alg).ok_or_else(problem)?,
                kid,
                public_jwk,
                sealed,
                created_at: Timestamp::from_micros(created_at),
                activates_at: Timestamp::from_micros(activates_at),
                retired_at: retired_at.map(Timestamp::from_micros),
                expires_at: expires_at.map(Timestamp::from_micros),
            })
        })
        .collect()
}

/// Adds a key.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, key: &SigningKey) -> Result<(), StoreError> {
    changes::bump(tx, Topic::Keys).await?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&key.kid)
        .bind(key.alg.as_str())
        .bind(&key.public_jwk)
        .bind(&key.sealed)
        .bind(key.created_at.as_micros())
        .bind(key.activates_at.as_micros())
        .bind(key.retired_at.map(Timestamp::as_micros))
        .bind(key.expires_at.map(Timestamp::as_micros)))
    .map(drop)
}

/// Says since when a key signs no more and when it leaves the JWKS; whether there is such a key.
///
/// # Errors
/// When the database fails.
pub async fn set_retired(
    tx: &mut Tx,
    kid: &str,
    retired_at: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    changes::bump(tx, Topic::Keys).await?;
    let row: Option<(String,)> = run!(tx, RETIRE, |conn, text| sqlx::query_as(text)
        .bind(kid)
        .bind(retired_at.as_micros())
        .bind(expires_at.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Removes a key; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, kid: &str) -> Result<bool, StoreError> {
    changes::bump(tx, Topic::Keys).await?;
    let row: Option<(String,)> = run!(tx, DELETE, |conn, text| sqlx::query_as(text).bind(kid).fetch_optional(conn))?;
    Ok(row.is_some())
}

/// A sealed value of this deployment by name.
///
/// # Errors
/// When the database fails.
pub async fn find_sealed(handle: &mut impl Handle, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Vec<u8>,)> =
        run!(handle, FIND_SEALED, |conn, text| sqlx::query_as(text).bind(name).fetch_optional(conn))?;
    Ok(row.map(|(sealed,)| sealed))
}

/// Keeps a sealed value unless the name is taken: of two processes that start together, the first one's value stays.
///
/// # Errors
/// When the database fails.
pub async fn insert_sealed(tx: &mut Tx, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
    affected!(tx, INSERT_SEALED, |text| sqlx::query(text).bind(name).bind(sealed)).map(drop)
}
