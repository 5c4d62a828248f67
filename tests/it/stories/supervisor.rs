//! The supervisor of a command alone: what it leaves on disk, and when.

use std::fs;

use crate::support::{Aml, eventually};

#[test]
fn a_supervisor_that_gets_no_task_leaves_the_folder_free_for_another() {
    let aml = Aml::local();
    let folder = aml.path("run");
    fs::create_dir(&folder).unwrap();
    let run = || aml.run_with_stdin(["supervise", folder.to_str().unwrap()], "");
    for _ in 0..2 {
        let output = run();
        // It could be found before it was told what to do.
        assert!(output.stdout.contains("\"pid\""), "{output:?}");
        assert_ne!(output.status, 0, "{output:?}");
        assert!(!folder.join("supervisor.json").exists());
        assert!(!folder.join("exit.json").exists());
    }
}

#[test]
fn the_end_of_a_command_is_written_down_as_soon_as_it_can_be() {
    let aml = Aml::local();
    let folder = aml.path("run");
    let exit = folder.join("exit.json");
    fs::create_dir_all(&exit).unwrap();
    let task =
        r#"{"command": ["exit 3"], "directory": "/", "variables": {"PATH": "/usr/bin:/bin"}}"#;
    std::thread::scope(|scope| {
        let ended =
            scope.spawn(|| aml.run_with_stdin(["supervise", folder.to_str().unwrap()], task));
        // What was to be written waits beside the folder that is in the way, in the room kept for it.
        eventually("the end of the command", 20, || {
            let kept = fs::read_to_string(folder.join("exit.reserved")).unwrap_or_default();
            kept.contains("\"code\":3").then_some(())
        });
        fs::remove_dir(&exit).unwrap();
        let ended = ended.join().unwrap();
        assert_eq!(ended.status, 0, "{ended:?}");
    });
    let exit: serde_json::Value = serde_json::from_slice(&fs::read(exit).unwrap()).unwrap();
    assert_eq!(exit["code"], 3);
}
