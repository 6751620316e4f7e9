//! The proofstream command
