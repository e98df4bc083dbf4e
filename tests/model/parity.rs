//! Results depend on the sequence alone: not on how a prompt is cut, on who shares the step, on interruptions.
