// `ringside doctor`: what this host's KVM can do, a line each, each by trying it.
#pragma once

namespace ringside::cli {

// 0 when `ringside run` will work here, 1 when not.
int doctor_command();

}  // namespace ringside::cli
