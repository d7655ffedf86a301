"""What the framework costs on this machine, measured beside what it is compared with."""
