"""What a guarded stream costs the client, beside a bare one."""
