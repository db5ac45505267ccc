//! A bound `Join`.

use super::fields::OutColumn;
use super::operator::{JoinOperator, Layout, SideLayout};
use super::plan::{Joined, Keep, On, Place, Step};
use super::sessions::SessionLayout;
use crate::common::{described, need, read_columns};
use purlin_api::key::KeyCodec;
use purlin_api::shape::physical;
use purlin_api::state::RowSlots;
use purlin_api::{
    BuildCx, Distribution, Error, InputShape, Output, PlanNode, Result, Running, Shape, StateShape,
};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct JoinNode {
    outputs: Vec<Output>,
    inputs: Vec<InputShape>,
    joined: Joined,
    columns: Vec<OutColumn>,
    keyed: Option<Vec<Distribution>>,
}

impl JoinNode {
    pub(super) fn new(
        outputs: Vec<Output>,
        inputs: &[InputShape],
        joined: Joined,
        columns: Vec<OutColumn>,
    ) -> Self {
        JoinNode { outputs, inputs: inputs.to_vec(), keyed: joined.keyed(), joined, columns }
    }

    fn name(&self, place: Place) -> String {
        let input = self.inputs.get(place.input);
        let field = input.and_then(|i| i.shape.schema.fields().get(place.column));
        format!("{}.{}", self.tag(place.input), field.map_or("", |f| f.name()))
    }

    fn tag(&self, input: usize) -> &str {
        self.inputs.get(input).map_or("", |i| i.tag.as_str())
    }

    fn conditions(&self, step: &Step) -> String {
        let right = |column| Place { input: step.input, column };
        let one = |o: &On| format!("{} = {}", self.name(o.left), self.name(right(o.right_column)));
        step.on.iter().map(one).collect::<Vec<_>>().join(" and ")
    }

    /// The columns of an input that the steps compare.
    fn compared(&self, input: usize) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        for step in &self.joined.steps {
            for on in &step.on {
                columns.extend((step.input == input).then_some(on.right_column));
                columns.extend((on.left.input == input).then_some(on.left.column));
            }
        }
        columns
    }

    /// The columns of an input that are kept in memory, rising: those compared or given.
    fn kept(&self, input: usize) -> Vec<usize> {
        let mut columns = self.compared(input);
        columns.extend(self.columns.iter().filter(|c| c.input == input).map(|c| c.column));
        columns.into_iter().collect()
    }

    /// How the rows of an input are spread, by the places of its columns as they are kept.
    fn spread(&self, input: usize, kept: &[usize]) -> Result<Distribution> {
        let Distribution::Keyed(columns) = self.distribution(input) else { return Ok(Distribution::Single) };
        let places = columns.iter().map(|c| kept.binary_search(c).ok());
        let places: Option<Vec<usize>> = places.collect();
        places
            .map(Distribution::Keyed)
            .ok_or_else(|| Error::internal("a join is spread by a column it does not keep"))
    }

    /// The same join over the columns that are kept in memory.
    fn layout(&self, cx: &BuildCx) -> Result<Layout> {
        let missing = || Error::internal("a join of columns that do not exist");
        let kept: Vec<Vec<usize>> = (0..self.inputs.len()).map(|input| self.kept(input)).collect();
        let at = |place: Place| -> Result<Place> {
            let column = kept.get(place.input).and_then(|k| k.binary_search(&place.column).ok());
            Ok(Place { column: column.ok_or_else(missing)?, ..place })
        };
        let mut steps = Vec::new();
        for step in &self.joined.steps {
            let on = step.on.iter().map(|on| {
                let right = at(Place { input: step.input, column: on.right_column })?;
                Ok(On { left: at(on.left)?, right_column: right.column, ..on.clone() })
            });
            let on: Vec<On> = on.collect::<Result<_>>()?;
            let types: Vec<_> = on.iter().map(|o| o.key.clone()).collect();
            steps.push((Step { on, ..step.clone() }, KeyCodec::new(&types)?));
        }
        let columns = self.columns.iter().map(|c| at(Place { input: c.input, column: c.column }));
        let columns = columns.collect::<Result<_>>()?;
        let sides = self.inputs.iter().zip(&kept).enumerate().map(|(at, (input, kept))| {
            let schema = Arc::new(physical(&input.shape.schema).project(kept)?);
            let slots = RowSlots::new(&self.spread(at, kept)?, &schema, cx)?;
            Ok(SideLayout { schema, kept: kept.clone(), slots })
        });
        let sides: Vec<SideLayout> = sides.collect::<Result<_>>()?;
        let output = self.outputs.first().ok_or_else(missing)?;
        let windowing = Arc::clone(&self.inputs.first().ok_or_else(missing)?.shape.windowing);
        let sessions = match self.joined.shared_key(self.inputs.len()) {
            Some(key) if windowing.window_fn.merges() => {
                let place = |(input, column): (usize, usize)| at(Place { input, column }).map(|p| p.column);
                let own = |(input, columns): (usize, &Vec<usize>)| {
                    columns.iter().map(|c| place((input, *c))).collect()
                };
                let keys = key.columns.iter().enumerate().map(own).collect::<Result<_>>()?;
                let schemas: Vec<_> = sides.iter().map(|s| Arc::clone(&s.schema)).collect();
                Some(SessionLayout::new(keys, &key.types, &schemas, &steps)?)
            }
            None if windowing.window_fn.merges() => return Err(missing()),
            _ => None,
        };
        Ok(Layout {
            sides,
            windowing,
            sessions,
            first: self.joined.first,
            steps,
            columns,
            schema: physical(&output.shape.schema),
        })
    }
}

fn word(keep: Keep) -> &'static str {
    match (keep.left, keep.right) {
        (false, false) => "inner",
        (true, false) => "left",
        (false, true) => "right",
        (true, true) => "full",
    }
}

impl PlanNode for JoinNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let mut text = self.tag(self.joined.first).to_owned();
        for step in &self.joined.steps {
            let (word, tag) = (word(step.keep), self.tag(step.input));
            text.push_str(&format!(" {word} join {tag} on {}", self.conditions(step)));
        }
        text
    }

    fn distribution(&self, port: usize) -> Distribution {
        self.keyed.as_ref().and_then(|k| k.get(port)).cloned().unwrap_or(Distribution::Single)
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let read = read_columns(outputs, 0, self.columns.len());
        let of = |(input, shape): (usize, &Shape)| {
            let mut columns = vec![false; shape.schema.fields().len()];
            self.compared(input).into_iter().for_each(|c| need(&mut columns, c));
            let given = self.columns.iter().zip(&read).filter(|(c, read)| **read && c.input == input);
            given.for_each(|(c, _)| need(&mut columns, c.column));
            columns
        };
        inputs.iter().enumerate().map(of).collect()
    }

    fn state(&self) -> Option<StateShape> {
        let windows = self.inputs.first()?.shape.windowing.window_fn.describe();
        let side = |(at, input): (usize, &InputShape)| {
            let fields = input.shape.schema.fields();
            let kept = described(self.kept(at).iter().filter_map(|c| fields.get(*c)));
            format!("{} ({kept})", input.tag)
        };
        let sides: Vec<String> = self.inputs.iter().enumerate().map(side).collect();
        let on = self.joined.steps.iter().map(|step| self.conditions(step)).collect::<Vec<_>>().join(" and ");
        Some(StateShape::new(format!("rows of {} that wait; on {on}; windows {windows}", sides.join(", "))))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(JoinOperator::new(self.layout(cx)?))))
    }
}
