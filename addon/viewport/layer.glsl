/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lays the frame of a field, which has a depth in each pixel, among what the viewport has drawn: scene-linear,
 * premultiplied. What is too thin for a depth counts as being where the twin's middle is.
 */

void main()
{
  vec2 where = mix(uniforms.rectangle.xy, uniforms.rectangle.zw, uv);
  vec2 inside = (where - uniforms.grid.xy) / (uniforms.grid.zw - uniforms.grid.xy);
  if (any(lessThan(inside, vec2(0.0))) || any(greaterThan(inside, vec2(1.0)))) {
    discard;
  }
  vec4 light = textureLod(frame, inside, 0.0);
  if (uniforms.range.w > 0.5) {
    ivec2 pixels = textureSize(frame_depth, 0);
    float depth = texelFetch(frame_depth, min(ivec2(inside * vec2(pixels)), pixels - 1), 0).r;
    ivec2 drawn = textureSize(scene_depth, 0);
    float limit = depth_without_grid(min(ivec2(uv * vec2(drawn)), drawn - 1));
    if ((depth > 0.0 ? depth - uniforms.rows.w : uniforms.rows.z) > limit) {
      discard;
    }
  }
  result = light;
}
