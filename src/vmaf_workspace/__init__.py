"""Where the VMAF harness keeps its work, what each part costs to lose, and safe operations on it."""
