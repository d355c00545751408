"""Other kernels: a command in a throw-away virtual machine, with the project inside.

    notify     who waits is told what is being done
    packages   Debian packages of any suite, fetched and unpacked, never installed
    children   programs that end with this one
    workplace  folders to make things in, which the next start removes where this one is killed
    cache      what is made once and kept, by what it is made from
    kernels    a kernel by its version, from a package, or a developer's own
    relocation programs with their own libraries and their own loader
    bundles    versions of iproute2 that run beside the system's own
    images     what a machine boots from: first stage, root file system, modules
    guest      what a guest starts from, and how it ended
    qemu       QEMU's command line for a guest
    kvm        whether KVM works here
    machine    starts QEMU, follows it, says how it ended
    panic      what a kernel said when it ended itself
    qmp        QEMU's protocol, by which a machine is stored
    snapshots  machines that are stored once they have started, and go on from there
    forkserver in a guest: a Python that has imported already, and is stored with it
    scratch    files without a name, which go with their process
    compiled   the project's modules, compiled for a guest's Python
    project    the project as a guest sees it
    piped      in a guest: output that is no terminal
    unpacking  the files that a guest gives back
    run        all of that together

No network: a guest gets its input as a disk and gives its files back as one.
"""
