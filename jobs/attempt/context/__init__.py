"""Files a task points at: opened safely, decoded, cut to the sections that matter."""
