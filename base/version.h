/* base/version.h - of all programs. */
#ifndef TARN_BASE_VERSION_H
#define TARN_BASE_VERSION_H

#define TARN_VERSION "0.1.0"

#endif
