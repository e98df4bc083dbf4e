//! Models: the configuration and the checkpoint on disk, the weights on a device, the forward pass.
