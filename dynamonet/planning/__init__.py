"""What a study will take before anything is submitted, and what it took afterwards."""
