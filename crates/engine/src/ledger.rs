//! The ledger: `in = passed + filtered + late + dead-lettered + in state`, for every transform and so for
//! the job.

use crate::stats::NodeStats;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// Checks every transform's balance. Each lane is checked after every call; this one holds over all lanes.
pub(crate) fn check_edges(stats: &[Arc<NodeStats>]) -> Result<()> {
    for s in stats {
        let (given, fates) = (s.rows_in(), s.fates());
        if given != fates.total() {
            let message = format!("the ledger does not balance: {given} rows in, {fates:?}");
            return Err(Error::internal(message).in_place(&s.label));
        }
    }
    Ok(())
}
