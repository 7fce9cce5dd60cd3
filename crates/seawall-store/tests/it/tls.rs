//! Connections that are secured, and refused when the server cannot be verified.

use seawall_testing::{TestCertificates, TestMariaDb, TestPostgres, TestRedis};

use crate::support::open;

async fn error_of(url: &str) -> String {
    open(url).await.count().await.unwrap_err().to_string()
}

#[tokio::test]
async fn mariadb_is_verified() {
    let certificates = TestCertificates::make();
    let server = TestMariaDb::start_with_tls(&certificates);
    let url = server.url();
    let verified = format!("{url}?ssl-ca={}", certificates.authority().display());
    assert_eq!(open(&verified).await.count().await.unwrap(), 0);
    let trusting = open(&format!("{url}?ssl-mode=REQUIRED")).await;
    assert_eq!(trusting.count().await.unwrap(), 0);
    let error = error_of(&format!("{url}?ssl-mode=VERIFY_IDENTITY")).await;
    assert!(error.contains("certificate"), "{error}");
    let error = error_of(&url).await;
    assert!(error.contains("wants TLS"), "{error}");
}

#[tokio::test]
async fn postgresql_is_verified() {
    let certificates = TestCertificates::make();
    let server = TestPostgres::start_with_tls(&certificates);
    let url = server.url();
    let authority = certificates.authority();
    let verified = format!(
        "{url}?sslmode=verify-full&sslrootcert={}",
        authority.display()
    );
    assert_eq!(open(&verified).await.count().await.unwrap(), 0);
    let trusting = open(&format!("{url}?sslmode=require")).await;
    assert_eq!(trusting.count().await.unwrap(), 0);
    let error = error_of(&format!("{url}?sslmode=verify-full")).await;
    assert!(error.contains("certificate"), "{error}");
    let error = error_of(&format!("{url}?sslmode=disable")).await;
    assert!(
        error.contains("pg_hba.conf") && error.contains("sslmode"),
        "{error}"
    );
    let elsewhere = verified.replace("127.0.0.1", "127.0.0.2");
    assert!(
        open(&elsewhere).await.count().await.is_err(),
        "another name than the certificate's"
    );
}

#[tokio::test]
async fn redis_is_verified() {
    let certificates = TestCertificates::make();
    let (_server, port) = TestRedis::start_with_tls(&certificates);
    let url = format!("rediss://127.0.0.1:{port}");
    let verified = format!("{url}?cacert={}", certificates.authority().display());
    assert_eq!(open(&verified).await.count().await.unwrap(), 0);
    let trusting = open(&format!("{url}?insecure=true")).await;
    assert_eq!(trusting.count().await.unwrap(), 0);
    let error = error_of(&url).await;
    assert!(error.contains("certificate"), "{error}");
}
