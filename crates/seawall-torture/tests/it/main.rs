//! A short torture of each store. By hand, and for longer: `cargo xtask torture`.

use std::process::Command;

const SECONDS: &str = "15";

#[test]
fn no_store_breaks_a_promise() {
    for store in ["postgres", "redis", "mariadb", "sqlite"] {
        let output = Command::new(env!("CARGO_BIN_EXE_seawall-torture"))
            .args(["run", "--store", store, "--seconds", SECONDS])
            .output()
            .expect("the torturer runs");
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        println!("{store}\n{report}");
        assert!(output.status.success(), "{store}:\n{report}{errors}");
    }
}
