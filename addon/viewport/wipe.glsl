/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Puts the neural side of a comparison into what the view has rendered, beyond a line: both are scene-linear, and both
 * go through Blender's own view transform afterwards. Unless the
 * whole view is drawn, the classic side's pixels are not touched. */

void main()
{
  ivec2 pixel = ivec2(gl_FragCoord.xy);
  /* the line is one pixel soft */
  float share = clamp(dot(uniforms.line.xy, gl_FragCoord.xy) - uniforms.line.z + 0.5, 0.0, 1.0);
  if (share == 0.0 && uniforms.line.w < 0.5) {
    discard;
  }
  vec4 beyond = texelFetch(neural, pixel, 0);
  result = share == 1.0 ? beyond : mix(texelFetch(classic, pixel, 0), beyond, share);
}
