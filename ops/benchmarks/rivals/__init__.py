"""What our numbers are compared with: one small Django project, on the same servers, with the same mail."""
