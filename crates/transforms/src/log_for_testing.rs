//! `LogForTesting`: rows as lines of the log.

use crate::common::only_input;
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, InputShape, LogLevel, More, OpCx, Operator, Output, OutputRole, PlanNode,
    Port, Result, Running, Transform, json,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, suggest};
use std::sync::Arc;

purlin_spec::config! {
    /// Writes every row to the log as one line of JSON, and passes it on unchanged.
    ///
    /// ```yaml
    /// - type: LogForTesting
    ///   input: Parsed
    ///   config: {level: DEBUG, prefix: "parsed: "}
    /// ```
    pub struct LogForTesting {
        /// How loud: `ERROR`, `INFO` or `DEBUG`; `INFO` if not given.
        pub level: Option<Spanned<String>>,
        /// Text to put before each row.
        pub prefix: Option<String>,
        /// Accepted because Beam accepts it; logging a row does not fail, so this output stays empty.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "LogForTesting",
            doc: LogForTesting::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: LogForTesting::fields,
        },
        decode: |node, d| LogForTesting::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

const LEVELS: [&str; 3] = ["ERROR", "INFO", "DEBUG"];

impl Transform for LogForTesting {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let level = match self.level.as_ref().map(|l| (l.value.as_str(), l.span)) {
            Some(("ERROR", _)) => LogLevel::Error,
            None | Some(("INFO", _)) => LogLevel::Info,
            Some(("DEBUG", _)) => LogLevel::Debug,
            Some((other, span)) => {
                cx.diagnostics.push(
                    Diagnostic::error("log/level", span, format!("unknown log level `{other}`"))
                        .label(format!("one of: {}", LEVELS.join(", ")))
                        .maybe_help(suggest::did_you_mean(other, LEVELS)),
                );
                return None;
            }
        };
        let policy = crate::errors::Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        let outputs = policy.outputs(input.shape.clone());
        debug_assert!(outputs.first().is_some_and(|o| o.role == OutputRole::Main));
        Some(Arc::new(LogNode { outputs, level, prefix: self.prefix.clone().unwrap_or_default() }))
    }
}

#[derive(Debug)]
struct LogNode {
    outputs: Vec<Output>,
    level: LogLevel,
    prefix: String,
}

impl PlanNode for LogNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        match self.level {
            LogLevel::Error => "as errors".to_owned(),
            LogLevel::Info => "as information".to_owned(),
            LogLevel::Debug => "as detail".to_owned(),
        }
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(Log { level: self.level, prefix: self.prefix.clone() })))
    }
}

#[derive(Debug)]
struct Log {
    level: LogLevel,
    prefix: String,
}

impl Operator for Log {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut writer = json::RowWriter::new(&batch.rows);
        for row in 0..batch.len() {
            let mut line = self.prefix.clone().into_bytes();
            writer.write(row, &mut line);
            cx.log.push((self.level, String::from_utf8_lossy(&line).into_owned()));
        }
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch);
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;

    fn log(level: &str) -> LogForTesting {
        let level = Some(Spanned { value: level.to_owned(), span: Default::default() });
        LogForTesting { level, prefix: Some("row: ".to_owned()), error_handling: None }
    }

    #[test]
    fn rows_are_logged_and_pass() {
        let (_, driver) = testing::run(&log("DEBUG"), &[r#"[{"a": 1, "s": "q\"t"}]"#], false).unwrap();
        assert_eq!(driver.cx.log, [(LogLevel::Debug, r#"row: {"a":1,"s":"q\"t"}"#.to_owned())]);
        assert_eq!(driver.rows(0), [r#"{"a":1,"s":"q\"t"}"#]);
    }

    #[test]
    fn unknown_levels_are_refused() {
        let e = testing::run(&log("INF"), &[r#"[{"a": 1}]"#], false).unwrap_err();
        assert!(e.contains("log/level") && e.contains("did you mean `INFO`?"), "{e}");
    }
}
