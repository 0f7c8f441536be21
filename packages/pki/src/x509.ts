// The library demands that the polyfill comes first: it is imported here and nowhere else.
import 'reflect-metadata'

export * as x509 from '@peculiar/x509'
