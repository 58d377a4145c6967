"""AWS Signature Version 4 by programs: heads are checked, and bodies as they stream."""
