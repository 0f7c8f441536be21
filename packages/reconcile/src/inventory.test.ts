import { describe, expect, it } from 'vitest'
import { type InventoryEntry, isLeftBy, unionInventory } from './inventory.ts'

const entry: InventoryEntry = { apiVersion: 'v1', kind: 'Namespace', name: 'shop' }
const left: InventoryEntry = { ...entry, uid: 'u', madeBy: 'shop' }

describe('what another release made and left to this one', () => {
  it('stays known as that when it is planned, and is its own once it was applied', () => {
    expect(unionInventory([left], [entry])).toEqual([left])
    expect(unionInventory([entry], [left])).toEqual([left])
    expect(unionInventory([left], [{ ...entry, uid: 'u', ownership: 'o' }])).toEqual([{ ...entry, uid: 'u', ownership: 'o' }])
  })

  it('is that of the release that made it, and of no other', () => {
    expect(isLeftBy([left], 'shop', 'Namespace//shop')).toBe(true)
    expect(isLeftBy([left], 'bakery', 'Namespace//shop')).toBe(false)
    expect(isLeftBy([{ ...entry, uid: 'u' }], 'shop', 'Namespace//shop')).toBe(false)
  })
})
