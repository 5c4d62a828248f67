//! Expressions in strings, and what becomes of them.

use super::{Expression, Template};

fn found(text: &str) -> Vec<String> {
    let template = Template::parse(text);
    template.expressions().map(|e| format!("{e:?}")).collect()
}

fn filled(text: &str, values: &[(&str, Option<&str>)]) -> Result<String, String> {
    Template::parse(text).fill(&mut |expression| {
        let name = expression.to_string();
        let value = values.iter().find(|(known, _)| *known == name);
        match value {
            Some((_, value)) => Ok(value.map(str::to_owned)),
            None => Err(format!("unknown {name}")),
        }
    })
}

#[test]
fn expressions_are_found_in_every_form() {
    assert_eq!(
        found("a ${{inputs.x}} ${{ parent.jobs.train.outputs.model }} ${{parent.inputs.g.y}}"),
        [
            "Input(\"x\")",
            "StepOutput { step: \"train\", output: \"model\" }",
            "ParentInput(\"g.y\")"
        ]
    );
    assert_eq!(
        found(
            "${{search_space.lr}}${{name}}${{default_datastore}}${{parent.jobs.a}}${{outputs.o}}"
        ),
        [
            "SearchSpace(\"lr\")",
            "Name",
            "Other(\"default_datastore\")",
            "Step(\"a\")",
            "Output(\"o\")"
        ]
    );
    assert_eq!(
        found("$[[--x ${{inputs.x}}]] $[[inputs.y]] ${{never"),
        ["Input(\"x\")"]
    );
    assert_eq!(
        Template::parse("${{parent.outputs.o}}").only(),
        Some(&Expression::ParentOutput("o".to_owned()))
    );
    assert_eq!(Template::parse(" ${{inputs.o}}").only(), None);
    for text in [
        "${{ parent.jobs.a.outputs.b }}",
        "${{inputs.a}}${{inputs.b}}",
        "${{inputs.a}}}",
        "$[[${{inputs.a}}]]",
        "${{a",
        "${{}}",
        "a",
        "${{parent.jobs.a.outputs.b.c}}",
        "${{parent.jobs.a.outputs. b}}",
        "${{parent.jobs.a.outputs.b}}}",
        "${{parent.jobs.a.outputs}}",
        "${{parent.jobs.a.outputs.b}} ",
        "${{parent.jobs.ä.outputs.b}}",
    ] {
        let template = Template::parse(text);
        assert_eq!(Expression::only(text).as_ref(), template.only(), "{text}");
    }
    let plain = Expression::step_output("${{parent.jobs.a.outputs.b.c}}");
    assert_eq!(plain, Some(("a", "b.c")));
    let blank = Expression::step_output("${{parent.jobs.a.outputs. b}}");
    assert_eq!(blank, None, "it is read another way");
}

#[test]
fn optional_blocks_go_with_their_values() {
    let text = "run $[[--a ${{inputs.a}}]] $[[--b ${{inputs.b}}]]--c ${{inputs.c}} $[[inputs.d]]";
    let values = [
        ("${{inputs.a}}", Some("1")),
        ("${{inputs.b}}", None),
        ("${{inputs.c}}", None),
    ];
    assert_eq!(
        filled(text, &values).unwrap(),
        "run --a 1 --c  $[[inputs.d]]"
    );
    assert_eq!(
        filled("${{inputs.z}}", &[]).unwrap_err(),
        "unknown ${{inputs.z}}"
    );
    assert_eq!(filled("a ${{ b", &[]).unwrap(), "a ${{ b");
}
