"""Linux without VXLAN: system calls, namespaces, programs, waiting."""
