/* SPDX-License-Identifier: Apache-2.0 */
#include "build-config.h"

#include <iicp/base.h>

const char *iicp_version(void) {
        return PACKAGE_VERSION;
}
