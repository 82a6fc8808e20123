//! Tests of sweeping.
