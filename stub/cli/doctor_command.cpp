#include "stub/cli/doctor_command.hpp"

namespace ringside::cli {

int doctor_command() { return 1; }

}  // namespace ringside::cli
