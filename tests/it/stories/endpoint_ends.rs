//! Endpoints whose processes end at the wrong time.

use crate::support::Aml;

#[test]
fn a_script_that_ends_its_process_in_init_fails_at_once() {
    let aml = &Aml::local();
    aml.ok("workspace create -n Churn");
    aml.write("model/weight.txt", "42");
    let script = "import os\ndef init(): os._exit(5)\ndef run(raw): return raw\n";
    aml.write("score.py", script);
    aml.ok("model register -n echo --path model");
    let error = aml.fails(12, "deploy echo:1 --name echo-ep --script score.py");
    let said = "failed: The scoring process ended with exit code 3: \
                It ended in the scoring script, before or in init()\n";
    assert!(error.contains(said), "{error}");
    assert!(error.contains("exited with code 5"), "{error}");
}
