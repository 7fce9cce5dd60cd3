//! The session store: record, change set, codec, batching and the back ends.
