//! Keyed, windowed aggregation: accumulators, triggers, panes.
