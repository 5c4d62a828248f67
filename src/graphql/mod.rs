//! What a GraphQL query asks for, checked against the schema of MLflow's pages.
//!
//! Plain functions of texts. By itself because the parser is generic: all of it is compiled where it is
//! used, and what a page asks once need not be optimised as what is asked a thousand times a second.

mod input;
mod plan;
mod schema;

pub use plan::{Plan, Planned, plan};
pub use schema::{SCHEMA, Type};

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Planned, plan};

    fn planned(query: &str, variables: &Value) -> Result<Vec<Planned>, String> {
        let variables = variables.as_object().cloned().unwrap_or_default();
        plan(query, None, &variables).map(|plan| plan.fields)
    }

    /// The keys that are asked for, in order, with what is below them in parentheses.
    fn keys(fields: &[Planned]) -> String {
        let key = |field: &Planned| match keys(&field.selected).as_str() {
            "" => field.key.clone(),
            below => format!("{}({below})", field.key),
        };
        fields.iter().map(key).collect::<Vec<_>>().join(" ")
    }

    fn error(query: &str, variables: &Value) -> String {
        match planned(query, variables) {
            Ok(fields) => format!("no error: {}", keys(&fields)),
            Err(error) => error,
        }
    }

    #[test]
    fn fragments_variables_and_directives_are_put_in_place() {
        let query = "query Q($run: String!, $all: Boolean = false, $none: Int) @component(name: \"x\") {
              mlflowGetRun(input: {runId: $run}) { ...R run { info @skip(if: $all) { status } } __typename }
              history: mlflowGetMetricHistoryBulkInterval(input: {runIds: $run, maxResults: $none}) {
                metrics @include(if: $all) { key } ... on MlflowGetMetricHistoryBulkIntervalResponse {
                  apiError { code } } } }
            fragment R on MlflowGetRunResponse { run { info { runName status } } }";
        let fields = planned(query, &json!({"run": "r1"})).unwrap();
        assert_eq!(
            keys(&fields),
            "mlflowGetRun(run(info(runName status)) __typename) history(apiError(code))"
        );
        assert_eq!(
            Value::from(fields[0].arguments.clone()),
            json!({"input": {"runId": "r1"}})
        );
        assert_eq!(
            Value::from(fields[1].arguments.clone()),
            json!({"input": {"runIds": ["r1"]}})
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let none = json!({});
        for (query, message) in [
            (
                "{ nothing }",
                "Cannot query field \"nothing\" on type \"Query\".",
            ),
            (
                "{ test { output { deep } } }",
                "Field \"output\" must not have a selection since type \"String\" has no subfields.",
            ),
            (
                "{ test }",
                "Field \"test\" of type \"Test\" must have a selection of subfields. Did you mean \"test { ... \
                 }\"?",
            ),
            (
                "{ test(other: 1) { output } }",
                "Unknown argument \"other\" on field \"Query.test\".",
            ),
            (
                "{ test(inputString: 1) { output } }",
                "Expected value of type \"String\", found 1.",
            ),
            (
                "{ mlflowGetRun(input: {run: \"r\"}) { __typename } }",
                "Field \"run\" is not defined by type \"MlflowGetRunInput\".",
            ),
            (
                "{ mlflowSearchRuns(input: {runViewType: SOME}) { __typename } }",
                "Expected value of type \"MlflowViewType\", found \"SOME\".",
            ),
            ("{ test { ...F } }", "Unknown fragment \"F\"."),
            (
                "{ test { ... on MlflowRunInfo { runId } } }",
                "Fragment cannot be spread here as objects of type \"Test\" can never be of type \
                 \"MlflowRunInfo\".",
            ),
            (
                "{ test @other { output } }",
                "Unknown directive \"@other\".",
            ),
            (
                "query ($x: String!) { test(inputString: $x) { output } }",
                "Variable \"$x\" of required type \"String!\" was not provided.",
            ),
            (
                "{ test(inputString: $x) { output } }",
                "Variable \"$x\" is not defined.",
            ),
            (
                "{ a: test { output } a: mlflowGetRun { __typename } }",
                "Fields \"a\" conflict because they ask for different things. Use different aliases on the \
                 fields to fetch both if this was intentional.",
            ),
            (
                "subscription { test { output } }",
                "Schema is not configured to execute subscription operation.",
            ),
            (
                "query A { __typename } query B { __typename }",
                "Must provide operation name if query contains multiple operations.",
            ),
            (
                "fragment F on Test { output }",
                "Must provide an operation.",
            ),
        ] {
            assert_eq!(error(query, &none), message, "{query}");
        }
        assert!(error("{ test(", &none).starts_with("Syntax Error: "));
        assert_eq!(
            error(
                "query ($n: Int) { mlflowSearchRuns(input: {maxResults: $n}) { __typename } }",
                &json!({"n": "5"})
            ),
            "Variable \"$n\" got invalid value: Expected value of type \"Int\", found \"5\"."
        );
    }

    #[test]
    fn a_query_has_bounds_with_its_fragments_in_place() {
        let none = json!({});
        let bomb = "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }";
        assert_eq!(
            error(bomb, &none),
            "Query exceeds maximum total selections of 1000"
        );
        let deep = format!("{}x{}", "{ a ".repeat(40), " }".repeat(40));
        assert_eq!(error(&deep, &none), "Query exceeds maximum depth of 10");
        let deeper = "{ a ".repeat(100_000);
        assert!(error(&deeper, &none).starts_with("Syntax Error: "));
        let roots = |count| format!("{{ {} }}", "test { output } ".repeat(count));
        assert_eq!(keys(&planned(&roots(10), &none).unwrap()), "test(output)");
        assert_eq!(
            error(&roots(11), &none),
            "GraphQL queries should have at most 10 root fields, got 11 root fields."
        );
        let aliases: Vec<String> = (0..11).map(|n| format!("a{n}: output")).collect();
        let aliases = aliases.join(" ");
        assert_eq!(
            error(&format!("{{ test {{ {aliases} }} }}"), &none),
            "GraphQL queries should have at most 10 aliases, got 11 aliases."
        );
        let within = "{ output a: output b: output c: output d: output e: output }";
        assert_eq!(
            error(&format!("{{ x: test {within} y: test {within} }}"), &none),
            "GraphQL queries should have at most 10 aliases, got 12 aliases."
        );
    }

    #[test]
    fn the_operation_is_chosen_by_name() {
        let query = "query A { __typename } mutation B { testMutation { output } }";
        let plan = |name| plan(query, Some(name), &Map::new());
        assert_eq!(plan("B").map(|plan| plan.root), Ok("Mutation"));
        assert_eq!(plan("A").map(|plan| plan.root), Ok("Query"));
        assert_eq!(
            plan("C").map(|plan| plan.root),
            Err("Unknown operation named \"C\".".to_owned())
        );
    }
}
